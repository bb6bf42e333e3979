"""EstimateRegistry come through the door of plugins; a broken one is refused with its plugin, an unknown one by name."""

import pytest
from plugin_code import ESTIMATE, ESTIMATE_HOOK, HOOK, LOSS

from rlhf_losses.errors import InvalidLossError, PluginError, UnknownNameError
from rlhf_losses.hooks.estimates import EstimateRegistry, estimates
from rlhf_losses.hooks.manager import BLOCK, build_manager
from rlhf_losses.hooks.registry import LossRegistry


def fresh(*files):
    """Return the estimates as they are now, whatever was gathered before."""
    return EstimateRegistry(build_manager(files))


def refusal(*files):
    with pytest.raises(PluginError) as caught:
        fresh(*files)
    return str(caught.value)


def test_an_installed_plugin_brings_an_estimate_and_no_loss(install):
    install("remote", ESTIMATE + ESTIMATE_HOOK)
    assert fresh().plugins["remoteness"] == "remote"
    assert fresh()["remoteness"].name() == "remoteness"
    assert "remoteness" not in LossRegistry(build_manager())


def test_a_plugin_may_bring_a_loss_too(plugin_file):
    file = plugin_file("both.py", LOSS + HOOK + ESTIMATE + ESTIMATE_HOOK)
    assert "remoteness" in fresh(file)
    assert "absolute" in LossRegistry(build_manager([file]))


def test_a_blocked_plugin_brings_nothing(install, monkeypatch):
    install("remote", ESTIMATE + ESTIMATE_HOOK)
    monkeypatch.setenv(BLOCK, "remote")
    assert "remoteness" not in fresh()


@pytest.mark.parametrize("text", ["remoteness", "remoteness(power=1.5)"])
def test_the_text_of_an_estimate_parses_back(plugin_file, text):
    known = fresh(plugin_file("remote.py", ESTIMATE + ESTIMATE_HOOK))
    assert str(known.parse(text)) == text
    assert known.parse(str(known.parse(text))) == known.parse(text)


def test_an_unknown_estimate_is_refused_with_those_that_there_are(plugin_file):
    known = fresh(plugin_file("remote.py", ESTIMATE + ESTIMATE_HOOK))
    with pytest.raises(
        UnknownNameError,
        match=r"No estimate is called 'remotenes'\. Did you mean 'remoteness'\? The estimates are: .*remote",
    ):
        known.parse("remotenes(power=1.0)")


def test_where_there_is_no_estimate_the_message_says_so(monkeypatch):
    monkeypatch.setenv(BLOCK, ",".join(plugin for plugin in fresh().plugins.values()))
    with pytest.raises(UnknownNameError, match=r"No plugin that is installed provides one\. Install the plugin"):
        fresh().parse("laplace")


@pytest.mark.parametrize(
    "text", ["remoteness +", "remoteness + remoteness", "2 * remoteness", "remoteness(1.0)", "remoteness(power=[1])"]
)
def test_what_is_no_call_is_refused(plugin_file, text):
    known = fresh(plugin_file("remote.py", ESTIMATE + ESTIMATE_HOOK))
    with pytest.raises((InvalidLossError, UnknownNameError)):
        known.parse(text)


def test_an_option_that_is_not_there_is_refused(plugin_file):
    known = fresh(plugin_file("remote.py", ESTIMATE + ESTIMATE_HOOK))
    with pytest.raises(UnknownNameError, match=r"remoteness has no option 'pover'\. Did you mean 'power'"):
        known.parse("remoteness(pover=1.0)")


def test_two_plugins_with_one_estimate_are_refused_with_both_names(install):
    install("remote", ESTIMATE + ESTIMATE_HOOK)
    install("again", ESTIMATE + ESTIMATE_HOOK)
    assert refusal() == (
        "Two plugins provide an estimate called 'remoteness': acme_again.Remoteness (plugin again) and "
        "acme_remote.Remoteness (plugin remote). Rename one, or leave a plugin out: RLHF_LOSSES_BLOCK=remote."
    )


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "@hookimpl\ndef provide_score_estimates():\n    return 1 / 0\n",
            "fails in provide_score_estimates: ZeroDivisionError",
        ),
        ("@hookimpl\ndef provide_score_estimates():\n    pass\n", "returns None instead of a list of estimates"),
        (
            ESTIMATE + ESTIMATE_HOOK.replace("[Remoteness]", "[Remoteness()]"),
            "is not a class derived from ScoreEstimate. Return classes from provide_score_estimates",
        ),
        (LOSS + ESTIMATE_HOOK.replace("Remoteness", "Absolute"), "which is not a class derived from ScoreEstimate"),
        (ESTIMATE.replace("@dataclass(frozen=True)\n", "") + ESTIMATE_HOOK, "Remoteness is not a frozen dataclass"),
        (ESTIMATE.replace("def read", "def reads_it") + ESTIMATE_HOOK, "Remoteness does not define read. Define it"),
        (ESTIMATE.replace(" = 2.0", "") + ESTIMATE_HOOK, "no default for power, so its name alone is no estimate"),
        (
            ESTIMATE.replace('"""Distance of what the score head reads from its mean."""', "") + ESTIMATE_HOOK,
            "has no docstring, so nobody can tell what it computes",
        ),
    ],
)
def test_an_estimate_that_breaks_the_contract_is_refused_with_its_plugin(install, code, told):
    install("acme", code)
    message = refusal()
    assert message.startswith("Plugin 'acme'")
    assert told in message


def test_estimates_are_gathered_once_for_the_same_files(plugin_file):
    file = plugin_file("remote.py", ESTIMATE + ESTIMATE_HOOK)
    assert estimates() is estimates()
    assert estimates([file]) is estimates((str(file),))
    assert len(estimates([file])) == len(estimates()) + 1
