"""Pytest plugin for authors of plugins: the fixture `provided_loss` is each loss that installed plugins provide.

```python
from rlhf_losses.testing import check_loss

def test_losses_satisfy_the_contract(provided_loss):
    check_loss(provided_loss)
```

The setting `rlhf_losses_plugin = focal` in the pytest configuration selects the losses of one plugin. pytest loads this
module in every session, so it imports nothing else at its top.
"""

from typing import Any

_SETTING = "rlhf_losses_plugin"


def pytest_addoption(parser: Any) -> None:
    """Add the setting that selects one plugin."""
    parser.addini(_SETTING, "only test the losses of this plugin of rlhf_losses", default="")


def pytest_generate_tests(metafunc: Any) -> None:
    """Run tests with the argument `provided_loss` once per loss."""
    if "provided_loss" not in metafunc.fixturenames:
        return
    from rlhf_losses.errors import UnknownNameError, did_you_mean
    from rlhf_losses.hooks import loss_registry
    from rlhf_losses.hooks.installed_plugins import BUILT_IN

    selected = metafunc.config.getini(_SETTING)
    entries = [entry for entry in loss_registry().entries.values() if entry.plugin != BUILT_IN]
    known = sorted({entry.plugin for entry in entries})
    if selected and selected not in known:
        raise UnknownNameError(
            f"No plugin '{selected}' provides a loss ({_SETTING}).{did_you_mean(selected, known)} "
            f"Choose an installed one: {', '.join(known) or 'none is installed'}."
        )
    losses = [entry.cls() for entry in entries if selected in ("", entry.plugin)]
    metafunc.parametrize("provided_loss", losses, ids=str)
