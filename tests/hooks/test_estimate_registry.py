"""The estimate registry: contract of score estimates and their string form."""

import pytest
from plugin_code import ESTIMATE, ESTIMATE_HOOK, LOSS, LOSS_HOOK

from rlhf_losses.errors import InvalidLossError, PluginError, UnknownNameError
from rlhf_losses.hooks import EstimateRegistry, LossRegistry, estimate_registry
from rlhf_losses.hooks.installed_plugins import BLOCK
from rlhf_losses.hooks.manager import build_manager


def new_registry(*files):
    """Return a new registry, not a cached one."""
    return EstimateRegistry(build_manager(files))


def error_of(*files):
    with pytest.raises(PluginError) as caught:
        new_registry(*files)
    return str(caught.value)


def test_an_installed_plugin_can_provide_an_estimate_and_no_loss(install):
    install("remote", ESTIMATE + ESTIMATE_HOOK)
    assert new_registry().entries["remoteness"].plugin == "remote"
    assert new_registry()["remoteness"].name() == "remoteness"
    assert "remoteness" not in LossRegistry(build_manager())


def test_a_plugin_can_provide_a_loss_and_an_estimate(plugin_file):
    file = plugin_file("both.py", LOSS + LOSS_HOOK + ESTIMATE + ESTIMATE_HOOK)
    assert "remoteness" in new_registry(file)
    assert "absolute" in LossRegistry(build_manager([file]))


def test_a_blocked_plugin_provides_no_estimate(install, monkeypatch):
    install("remote", ESTIMATE + ESTIMATE_HOOK)
    monkeypatch.setenv(BLOCK, "remote")
    assert "remoteness" not in new_registry()


@pytest.mark.parametrize("text", ["remoteness", "remoteness(power=1.5)"])
def test_the_string_form_of_an_estimate_parses_back(plugin_file, text):
    known = new_registry(plugin_file("remote.py", ESTIMATE + ESTIMATE_HOOK))
    assert str(known.parse(text)) == text
    assert known.parse(str(known.parse(text))) == known.parse(text)


def test_an_unknown_estimate_is_refused_with_all_names(plugin_file):
    known = new_registry(plugin_file("remote.py", ESTIMATE + ESTIMATE_HOOK))
    with pytest.raises(
        UnknownNameError,
        match=r"Unknown score estimate 'remotenes'\. Did you mean 'remoteness'\? Known names: .*remote.*plugin_files",
    ):
        known.parse("remotenes(power=1.0)")


def test_the_message_states_that_no_plugin_provides_an_estimate(monkeypatch):
    monkeypatch.setenv(BLOCK, ",".join(entry.plugin for entry in new_registry().entries.values()))
    with pytest.raises(UnknownNameError, match=r"No installed plugin provides a score estimate\..*install the plugin"):
        new_registry().parse("laplace")


@pytest.mark.parametrize(
    "text", ["remoteness +", "remoteness + remoteness", "2 * remoteness", "remoteness(1.0)", "remoteness(power=[1])"]
)
def test_a_string_that_is_not_a_name_with_options_is_refused(plugin_file, text):
    known = new_registry(plugin_file("remote.py", ESTIMATE + ESTIMATE_HOOK))
    with pytest.raises((InvalidLossError, UnknownNameError)):
        known.parse(text)


def test_an_unknown_option_is_refused_with_the_nearest_name(plugin_file):
    known = new_registry(plugin_file("remote.py", ESTIMATE + ESTIMATE_HOOK))
    with pytest.raises(UnknownNameError, match=r"remoteness has no option 'pover'\. Did you mean 'power'"):
        known.parse("remoteness(pover=1.0)")


def test_two_plugins_with_one_estimate_are_refused_with_both_names(install):
    install("remote", ESTIMATE + ESTIMATE_HOOK)
    install("again", ESTIMATE + ESTIMATE_HOOK)
    message = error_of()
    assert "the score estimate 'remoteness'" in message
    assert "acme_again.Remoteness (plugin again) and acme_remote.Remoteness (plugin remote)" in message
    assert "RLHF_LOSSES_BLOCK=remote" in message


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "@hookimpl\ndef provide_score_estimates():\n    return 1 / 0\n",
            "fails in provide_score_estimates: ZeroDivisionError",
        ),
        ("@hookimpl\ndef provide_score_estimates():\n    pass\n", "returns None instead of a list"),
        (
            ESTIMATE + ESTIMATE_HOOK.replace("[Remoteness]", "[Remoteness()]"),
            "is not a class derived from ScoreEstimate. Return classes, not instances, from provide_score_estimates",
        ),
        (LOSS + ESTIMATE_HOOK.replace("Remoteness", "Absolute"), "which is not a class derived from ScoreEstimate"),
        (ESTIMATE.replace("@dataclass(frozen=True)\n", "") + ESTIMATE_HOOK, "Remoteness is not a frozen dataclass"),
        (ESTIMATE.replace("def predict", "def read") + ESTIMATE_HOOK, "Remoteness does not define predict"),
        (ESTIMATE.replace(" = 2.0", "") + ESTIMATE_HOOK, "no default for power, so it cannot be created from its name"),
        (
            ESTIMATE.replace('"""Distance between the features and their mean."""', "") + ESTIMATE_HOOK,
            "has no docstring, so it has no documentation",
        ),
    ],
)
def test_an_estimate_that_breaks_the_contract_is_refused_with_its_plugin(install, code, reason):
    install("acme", code)
    message = error_of()
    assert message.startswith("Plugin 'acme'")
    assert reason in message


def test_the_registry_is_built_once_for_the_same_files(plugin_file):
    file = plugin_file("remote.py", ESTIMATE + ESTIMATE_HOOK)
    assert estimate_registry() is estimate_registry()
    assert estimate_registry([file]) is estimate_registry((str(file),))
    assert len(estimate_registry([file])) == len(estimate_registry()) + 1
