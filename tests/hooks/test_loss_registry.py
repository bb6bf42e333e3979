"""The loss registry: contract of loss classes, lookup by name and by feedback type."""

import pytest
from plugin_code import LOSS, LOSS_HOOK

from rlhf_losses.errors import PluginError, UnknownNameError
from rlhf_losses.feedback import Labels, Pairs, Rankings, Ratings, Steps, Votes
from rlhf_losses.hooks import LossRegistry, loss_registry, parse_loss
from rlhf_losses.hooks.manager import build_manager
from rlhf_losses.losses import BradleyTerry


def error_of(*files):
    with pytest.raises(PluginError) as caught:
        LossRegistry(build_manager(files))
    return str(caught.value)


def test_two_plugins_with_one_loss_are_refused_with_both_names(install):
    install("absolute")
    install("again")
    message = error_of()
    assert "the loss 'absolute'" in message
    assert "acme_absolute.Absolute (plugin absolute) and acme_again.Absolute (plugin again)" in message
    assert "RLHF_LOSSES_BLOCK=again" in message


def test_a_plugin_cannot_replace_a_built_in_loss(install):
    install("pirate", (LOSS + LOSS_HOOK).replace("Absolute", "Hinge"))
    assert "rlhf_losses.losses.pairwise.hinge.Hinge (plugin built-in) and acme_pirate.Hinge" in error_of()


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (LOSS + LOSS_HOOK.replace("[Absolute]", "[Absolute()]"), "provides Absolute(), which is not a class", "Return"),
        (LOSS_HOOK.replace("[Absolute]", "['absolute']"), "provides 'absolute', which is not a class", "Return"),
        (LOSS_HOOK.replace("[Absolute]", "[dict]"), "<class 'dict'>, which is not a class derived from Loss", "Return"),
        (
            LOSS.replace("@dataclass(frozen=True)\n", "") + LOSS_HOOK,
            "Absolute is not a frozen dataclass",
            "Add @dataclass(frozen=True)",
        ),
        (
            LOSS.replace('"""\n', '"""\n\n    strength: float\n') + LOSS_HOOK,
            "Absolute has no default for strength",
            "strength: float = ",
        ),
        (LOSS.replace("per_pair", "per_item") + LOSS_HOOK, "Absolute does not define per_pair", "Define it"),
        (LOSS.replace('    """Absolute score difference."""\n', "") + LOSS_HOOK, "no docstring", "Write one sentence"),
        (LOSS.replace("Absolute score difference.", "   ") + LOSS_HOOK, "no docstring", "Write one sentence"),
        (LOSS_HOOK.replace("[Absolute]", "[PairwiseLoss]"), "PairwiseLoss does not define per_pair", "Define it"),
    ],
)
def test_a_loss_that_breaks_the_contract_is_refused_with_its_plugin(install, code, reason, remedy):
    install("acme", code)
    message = error_of()
    assert message.startswith("Plugin 'acme'")
    assert reason in message
    assert remedy in message


def test_the_registry_is_built_once_for_the_same_files(plugin_file):
    file = plugin_file("mine.py")
    assert loss_registry() is loss_registry()
    assert loss_registry([file]) is loss_registry((str(file),))
    assert loss_registry([file]) is not loss_registry()


def test_the_registry_is_a_mapping_from_names_to_classes():
    assert loss_registry()["bradley_terry"] is BradleyTerry
    assert len(loss_registry()) == len(list(loss_registry())) == len(loss_registry().entries)
    with pytest.raises(KeyError):
        loss_registry()["xyzzy"]


def test_lookup_of_an_unknown_name_suggests_the_nearest_one():
    with pytest.raises(UnknownNameError, match=r"Unknown loss 'bradly_terry'\. Did you mean 'bradley_terry'\?"):
        loss_registry().lookup("bradly_terry")
    assert loss_registry().lookup("bradley_terry") is BradleyTerry


def test_parse_loss_uses_the_registry():
    assert parse_loss("bradley_terry") == loss_registry().parse("bradley_terry") == BradleyTerry()


@pytest.mark.parametrize(
    ("feedback_type", "first", "also", "never"),
    [
        (Pairs, "bradley_terry", "score_decay", "plackett_luce"),
        (Rankings, "accumulated_pairs", "bradley_terry", "squared_error"),
        (Ratings, "squared_error", "plackett_luce", "cross_entropy"),
        (Labels, "cross_entropy", "score_decay", "bradley_terry"),
        (Steps, "segment_hinge", "score_decay", "pointwise_hinge"),
        (Votes, "bradley_terry", "hinge", "plackett_luce"),
    ],
)
def test_losses_of_exactly_a_feedback_type_are_listed_first(feedback_type, first, also, never):
    names = [entry.name for entry in loss_registry().for_feedback(feedback_type)]
    assert names[0] == first
    assert also in names
    assert never not in names
