"""The converter registry: contract of converters and detection of the format of a dataset."""

import pytest
from datasets import Dataset
from plugin_code import CONVERTER, CONVERTER_HOOK, LOSS, LOSS_HOOK

from rlhf_losses.converters import HhRlhf
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, PluginError, UnknownNameError
from rlhf_losses.hooks import ConverterRegistry, LossRegistry, converter_registry
from rlhf_losses.hooks.builtins import provide_dataset_converters
from rlhf_losses.hooks.installed_plugins import BLOCK, BUILT_IN
from rlhf_losses.hooks.manager import build_manager

ROW = {"winner": "4", "loser": "5"}


def new_registry(*files):
    """Return a new registry, not a cached one."""
    return ConverterRegistry(build_manager(files))


def error_of(*files):
    with pytest.raises(PluginError) as caught:
        new_registry(*files)
    return str(caught.value)


def test_built_in_converters_are_provided_by_a_hook():
    registry = new_registry()
    assert [registry[converter.name()] for converter in provide_dataset_converters()] == provide_dataset_converters()
    assert registry.entries["hh_rlhf"].plugin == BUILT_IN


def test_an_installed_plugin_can_provide_a_converter_and_no_loss(install):
    install("duels", CONVERTER + CONVERTER_HOOK)
    assert new_registry().detect(ROW).name() == "duels"
    assert new_registry().entries["duels"].plugin == "duels"
    assert "duels" not in LossRegistry(build_manager())


def test_a_plugin_can_provide_a_loss_and_a_converter(plugin_file):
    file = plugin_file("both.py", LOSS + LOSS_HOOK + CONVERTER + CONVERTER_HOOK)
    assert new_registry(file).lookup("duels")().convert(ROW) == [{"chosen": "4", "rejected": "5"}]
    assert "absolute" in LossRegistry(build_manager([file]))


def test_a_blocked_plugin_provides_no_converter(install, monkeypatch):
    install("duels", CONVERTER + CONVERTER_HOOK)
    monkeypatch.setenv(BLOCK, "duels")
    assert "duels" not in new_registry()


def test_an_unknown_converter_is_refused_with_all_names():
    with pytest.raises(
        UnknownNameError, match=r"Unknown converter 'hh-rlhf'\. Did you mean 'hh_rlhf'\? Known names: native"
    ):
        new_registry().lookup("hh-rlhf")


def test_two_plugins_with_one_converter_are_refused_with_both_names(install):
    install("duels", CONVERTER + CONVERTER_HOOK)
    install("again", CONVERTER + CONVERTER_HOOK)
    message = error_of()
    assert "the converter 'duels'" in message
    assert "acme_again.Duels (plugin again) and acme_duels.Duels (plugin duels)" in message
    assert "RLHF_LOSSES_BLOCK=duels" in message


def test_a_plugin_cannot_replace_a_built_in_converter(install):
    install("pirate", (CONVERTER + CONVERTER_HOOK).replace("Duels", "HhRlhf"))
    assert "hh_rlhf.HhRlhf (plugin built-in) and acme_pirate.HhRlhf (plugin pirate)" in error_of()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "@hookimpl\ndef provide_dataset_converters():\n    return 1 / 0\n",
            "fails in provide_dataset_converters: ZeroDivisionError",
        ),
        ("@hookimpl\ndef provide_dataset_converters():\n    pass\n", "returns None instead of a list"),
        (CONVERTER + CONVERTER_HOOK.replace("[Duels]", "[Duels()]"), "not a class derived from DatasetConverter"),
        (CONVERTER_HOOK.replace("Duels", "dict"), "<class 'dict'>, which is not a class derived from DatasetConverter"),
        (CONVERTER.replace("def convert", "def read") + CONVERTER_HOOK, "Duels does not define convert"),
        (CONVERTER.replace('(("winner", "loser"),)', "()") + CONVERTER_HOOK, "columns = (), so no dataset matches"),
        (CONVERTER.replace('(("winner", "loser"),)', '("winner", "loser")') + CONVERTER_HOOK, "Set a tuple of"),
        (CONVERTER.replace('"""Pairs with one winner and one loser."""', "") + CONVERTER_HOOK, "has no docstring"),
        (CONVERTER.replace("https://example.org/duels", "") + CONVERTER_HOOK, "has no source"),
    ],
)
def test_a_converter_that_breaks_the_contract_is_refused_with_its_plugin(install, code, reason):
    install("acme", code)
    message = error_of()
    assert message.startswith("Plugin 'acme'")
    assert reason in message


def test_an_error_of_a_converter_names_the_row_and_the_converter(plugin_file):
    file = plugin_file("fails.py", CONVERTER.replace('row["winner"],', 'row["winer"],') + CONVERTER_HOOK)
    with pytest.raises(InvalidFeedbackError, match=r"Row 0 of data cannot be converted by duels: KeyError: 'winer'"):
        convert_dataset(Dataset.from_list([ROW]), plugin_files=[file])


def test_the_registry_is_built_once_for_the_same_files(plugin_file):
    file = plugin_file("mine.py", CONVERTER + CONVERTER_HOOK)
    assert converter_registry() is converter_registry()
    assert converter_registry([file]) is converter_registry((str(file),))
    assert converter_registry()["hh_rlhf"] is HhRlhf
    assert len(converter_registry([file])) == len(converter_registry()) + 1


def test_a_later_row_rules_out_a_format(plugin_file):
    """Both formats match the first row; the second row shows that it is not the stricter one."""
    code = CONVERTER.replace("class Duels", "class ShortDuels").replace(
        "    def convert", "    def matches(self, row):\n        return len(row['winner']) == 1\n\n    def convert"
    )
    both = plugin_file("both.py", CONVERTER + code + CONVERTER_HOOK.replace("[Duels]", "[Duels, ShortDuels]"))
    short, long = {"winner": "4", "loser": "5"}, {"winner": "four", "loser": "5"}
    known = new_registry(both)
    with pytest.raises(FeedbackMismatchError, match=r"duels, short_duels\. .*converter='duels'"):
        known.detect(short)
    assert known.detect(short, long).name() == "duels"
