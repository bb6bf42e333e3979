"""For tests of plugins: `provided_loss` is every loss that installed plugins provide, one test each.

pytest loads this file with every session that finds the package, so it imports nothing until a test asks::

    from rlhf_losses.testing import check_loss

    def test_the_losses_of_this_plugin_keep_the_contract(provided_loss):
        check_loss(provided_loss)

`rlhf_losses_plugin = focal` in pytest's configuration leaves out the losses of all other plugins.
"""

from typing import Any

_SETTING = "rlhf_losses_plugin"


def pytest_addoption(parser: Any) -> None:
    """Declare the setting that names one plugin."""
    parser.addini(_SETTING, "test the losses of this plugin of rlhf_losses only", default="")


def pytest_generate_tests(metafunc: Any) -> None:
    """Run a test once for every loss that a plugin provides."""
    if "provided_loss" not in metafunc.fixturenames:
        return
    from rlhf_losses.errors import UnknownNameError, did_you_mean
    from rlhf_losses.hooks import loss_registry
    from rlhf_losses.hooks.manager import BUILT_IN

    wanted = metafunc.config.getini(_SETTING)
    entries = [entry for entry in loss_registry().entries.values() if entry.plugin != BUILT_IN]
    known = sorted({entry.plugin for entry in entries})
    if wanted and wanted not in known:
        raise UnknownNameError(
            f"{_SETTING} = {wanted}, but no plugin of that name provides a loss.{did_you_mean(wanted, known)} "
            f"Give the name of an installed one: {', '.join(known) or 'none is installed'}."
        )
    losses = [entry.loss() for entry in entries if wanted in ("", entry.plugin)]
    metafunc.parametrize("provided_loss", losses, ids=str)
