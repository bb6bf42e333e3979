"""A plugin is found, named and left out; a broken one is refused by name."""

import json
import sys

import pytest
from plugin_code import HOOK, LOSS

from rlhf_losses.errors import PluginError
from rlhf_losses.feedback import Labels, Pairs, Rankings, Ratings, Steps, Votes
from rlhf_losses.hooks import hookimpl, loss_registry, parse_loss
from rlhf_losses.hooks.builtins import provide_losses
from rlhf_losses.hooks.manager import BLOCK, BUILT_IN, build_manager, load_file
from rlhf_losses.hooks.registry import LossRegistry
from rlhf_losses.losses import BradleyTerry, Centering


def fresh(*files):
    """Return a loss_registry that is built now, whatever was built before."""
    return LossRegistry(build_manager(files))


def refusal(make, *files):
    with pytest.raises(PluginError) as caught:
        make(*files)
    return str(caught.value)


def test_the_built_in_losses_come_through_the_same_hook():
    entries = fresh().entries
    assert [entries[loss.name()].loss for loss in provide_losses()] == provide_losses()
    assert {entry.plugin for entry in entries.values() if entry.loss in provide_losses()} == {BUILT_IN}


def test_an_installed_plugin_is_found_with_its_version(install):
    install("absolute", version="4.5.6")
    entry = fresh().entries["absolute"]
    assert (entry.name, entry.plugin, entry.version) == ("absolute", "absolute", "4.5.6")
    assert str(fresh().parse("absolute + 0.5 * centering")) == "absolute + 0.5 * centering"


def test_a_plugin_may_be_one_file(plugin_file):
    entry = fresh(plugin_file("mine.py")).entries["absolute"]
    assert (entry.plugin, entry.version) == ("mine", "file")


def test_a_plugin_file_replaces_no_module_of_the_same_name(plugin_file):
    assert "absolute" in fresh(plugin_file("json.py"))
    assert sys.modules["json"] is json


def test_a_plugin_may_return_any_iterable(install):
    install("lazy", LOSS + HOOK.replace("return [Absolute]", "yield Absolute"))
    assert "absolute" in fresh()


def test_installed_plugins_come_after_the_built_in_ones_and_in_the_order_of_their_names(install):
    for name in ("zeta", "alpha"):
        install(name, LOSS.replace("Absolute", name.title()) + HOOK.replace("Absolute", name.title()))
    names = list(fresh())
    assert names[: len(provide_losses())] == [loss.name() for loss in provide_losses()]
    assert names.index("alpha") < names.index("zeta")


@pytest.mark.parametrize("value", ["absolute", " absolute ", "other,absolute", "absolute,,"])
def test_a_blocked_plugin_is_left_out(install, monkeypatch, value):
    install("absolute")
    monkeypatch.setenv(BLOCK, value)
    assert "absolute" not in fresh()


def test_a_file_may_stand_in_for_an_installed_plugin_that_is_blocked(install, plugin_file, monkeypatch):
    install("absolute")
    monkeypatch.setenv(BLOCK, "absolute")
    assert fresh(plugin_file("absolute.py"))["absolute"].__module__ == "rlhf_losses_plugin_absolute"


def test_the_built_in_losses_cannot_be_blocked(monkeypatch):
    monkeypatch.setenv(BLOCK, BUILT_IN)
    assert "bradley_terry" in fresh()


def test_a_blocked_plugin_is_not_even_imported(install, monkeypatch):
    install("absolute", "raise RuntimeError('broken')")
    monkeypatch.setenv(BLOCK, "absolute")
    assert "bradley_terry" in fresh()
    assert "acme_absolute" not in sys.modules


def test_two_plugins_with_one_loss_are_refused_with_both_names(install):
    install("absolute")
    install("again")
    assert refusal(fresh) == (
        "Two plugins provide a loss called 'absolute': acme_absolute.Absolute (plugin absolute) and "
        "acme_again.Absolute (plugin again). Rename one, or leave a plugin out: RLHF_LOSSES_BLOCK=again."
    )


def test_a_plugin_cannot_replace_a_built_in_loss(install):
    install("pirate", LOSS.replace("Absolute", "Hinge") + HOOK.replace("Absolute", "Hinge"))
    assert "rlhf_losses.losses.pairwise.hinge.Hinge (plugin built-in) and acme_pirate.Hinge (plugin pirate)" in refusal(
        fresh
    )


def test_two_plugins_of_one_name_are_refused(install, plugin_file):
    install("absolute")
    told = refusal(fresh, plugin_file("absolute.py"))
    assert told.startswith("Two plugins are called 'absolute'. Rename one of them")
    assert f"{BLOCK}=absolute" in told


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "@hookimpl\ndef provide_loses():\n    return []\n",
            "Plugin 'acme' implements provide_loses, which is not a hook. Did you mean 'provide_losses'?",
        ),
        (
            "@hookimpl\ndef provide_losses(loss_registry):\n    return []\n",
            "Plugin 'acme' implements a hook with the wrong arguments: ",
        ),
        (
            "def provide_losses():\n    return []\n",
            "Plugin 'acme' implements no hook, so it provides nothing. Put @hookimpl",
        ),
        ("", "Plugin 'acme' implements no hook"),
        (
            "raise RuntimeError('no luck')",
            "Plugin 'acme' (acme_acme) fails when it is imported: RuntimeError: no luck.",
        ),
        ("import acme_nowhere", "fails when it is imported: ModuleNotFoundError: No module named 'acme_nowhere'"),
        ("def broken(:", "Plugin 'acme' (acme_acme) fails when it is imported: SyntaxError"),
        (
            "@hookimpl\ndef provide_losses():\n    return 1 / 0\n",
            "Plugin 'acme' fails in provide_losses: ZeroDivisionError: division by zero.",
        ),
        (
            "@hookimpl\ndef provide_losses():\n    yield 1 / 0\n",
            "Plugin 'acme' fails in provide_losses: ZeroDivisionError: division by zero.",
        ),
        ("@hookimpl\ndef provide_losses():\n    pass\n", "returns None instead of a list of losses"),
        ("@hookimpl\ndef provide_losses():\n    return 3\n", "Plugin 'acme' fails in provide_losses: TypeError"),
        (
            LOSS + "@hookimpl\ndef provide_losses():\n    return Absolute\n",
            "Plugin 'acme' fails in provide_losses: TypeError",
        ),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_refused_by_name(install, code, told):
    install("acme", code)
    message = refusal(fresh)
    assert told in message
    assert any(
        step in message
        for step in ("leave it out: RLHF_LOSSES_BLOCK=acme", "Put @hookimpl", "The hooks are: ", "Copy the signature")
    )


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            LOSS + HOOK.replace("[Absolute]", "[Absolute()]"),
            "provides Absolute(), which is not a class derived from Loss. Return classes from provide_losses",
        ),
        (HOOK.replace("[Absolute]", "['absolute']"), "provides 'absolute', which is not a class derived from Loss"),
        (HOOK.replace("[Absolute]", "[dict]"), "provides <class 'dict'>, which is not a class derived from Loss"),
        (
            LOSS.replace("@dataclass(frozen=True)\n", "") + HOOK,
            "Absolute is not a frozen dataclass, so its options have no text. Add @dataclass(frozen=True) above",
        ),
        (
            LOSS.replace('"""\n', '"""\n\n    strength: float\n') + HOOK,
            "Absolute has no default for strength, so its name alone is no loss. Write a default: strength: float",
        ),
        (LOSS.replace("per_pair", "per_item") + HOOK, "Absolute does not define per_pair. Define it in the class."),
        (
            LOSS.replace('    """Absolute score_difference."""\n', "") + HOOK,
            "Absolute has no docstring, so nobody can tell what",
        ),
        (LOSS.replace("Absolute score_difference.", "   ") + HOOK, "Absolute has no docstring"),
        (HOOK.replace("[Absolute]", "[PairwiseLoss]"), "PairwiseLoss does not define per_pair"),
    ],
)
def test_a_loss_that_breaks_the_contract_is_refused_with_its_plugin(install, code, told):
    install("acme", code)
    message = refusal(fresh)
    assert message.startswith("Plugin 'acme'")
    assert told in message


def test_a_plugin_file_that_is_missing_is_refused_with_its_path(tmp_path):
    told = refusal(fresh, tmp_path / "nowhere.py")
    assert (
        told
        == f"There is no plugin file '{tmp_path / 'nowhere.py'}'. Give the path of a Python file: --plugin ./my_loss.py"
    )


def test_a_plugin_file_that_is_no_python_is_refused(plugin_file):
    assert "is not a Python file. Give a file that ends in .py" in refusal(fresh, plugin_file("notes.txt"))


def test_a_plugin_file_that_fails_is_refused_and_forgotten(plugin_file):
    file = plugin_file("broken.py", "raise RuntimeError('no luck')")
    told = refusal(fresh, file)
    assert told == f"Plugin file '{file}' fails when it is imported: RuntimeError: no luck. Mend the file."
    assert not [name for name in sys.modules if name.endswith("broken")]


def test_a_plugin_file_twice_is_refused(plugin_file):
    file = plugin_file("mine.py")
    assert "Two plugins are called 'mine'" in refusal(fresh, file, file)


def test_a_plugin_file_is_a_module_of_its_own(plugin_file):
    assert load_file(plugin_file("mine.py")).Absolute.__module__ == "rlhf_losses_plugin_mine"


def test_the_catalogue_is_built_once_for_the_same_files(plugin_file):
    file = plugin_file("mine.py")
    assert loss_registry() is loss_registry()
    assert loss_registry([file]) is loss_registry((str(file),))
    assert loss_registry([file]) is not loss_registry()


def test_a_catalogue_is_a_mapping_of_names_to_losses():
    assert loss_registry()["bradley_terry"] is BradleyTerry
    assert len(loss_registry()) == len(list(loss_registry())) == len(loss_registry().entries)
    with pytest.raises(KeyError):
        loss_registry()["xyzzy"]


def test_names_are_parsed_from_the_catalogue():
    assert parse_loss("bradley_terry") == loss_registry().parse("bradley_terry") == BradleyTerry()


@pytest.mark.parametrize(
    ("kind", "first", "also", "never"),
    [
        (Pairs, "bradley_terry", "score_decay", "plackett_luce"),
        (Rankings, "accumulated_pairs", "bradley_terry", "squared_error"),
        (Ratings, "squared_error", "plackett_luce", "cross_entropy"),
        (Labels, "cross_entropy", "score_decay", "bradley_terry"),
        (Steps, "segment_hinge", "score_decay", "pointwise_hinge"),
        (Votes, "bradley_terry", "hinge", "plackett_luce"),
    ],
)
def test_losses_for_a_kind_of_feedback_start_with_those_made_for_it(kind, first, also, never):
    names = [entry.name for entry in loss_registry().for_feedback(kind)]
    assert names[0] == first
    assert also in names
    assert never not in names


def test_a_plugin_object_may_be_registered_by_hand():
    class Module:
        """Stands for a module: pluggy takes any object."""

        @staticmethod
        @hookimpl
        def provide_losses():
            return [Centering]

    manager = build_manager()
    manager.unregister(name=BUILT_IN)
    manager.register(Module, name="by hand")
    assert LossRegistry(manager).entries["centering"].plugin == "by hand"
