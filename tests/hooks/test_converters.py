"""ConverterRegistry come through the same door as losses; a broken one is refused with its plugin."""

import pytest
from datasets import Dataset
from plugin_code import ADAPTER, CONVERTER_HOOK, HOOK, LOSS

from rlhf_losses.converters import HhRlhf
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.errors import InvalidFeedbackError, PluginError
from rlhf_losses.hooks.builtins import provide_dataset_converters
from rlhf_losses.hooks.converters import ConverterRegistry, converters
from rlhf_losses.hooks.manager import BLOCK, BUILT_IN, build_manager
from rlhf_losses.hooks.registry import LossRegistry

ROW = {"winner": "4", "loser": "5"}


def fresh(*files):
    """Return the converters as they are now, whatever was gathered before."""
    return ConverterRegistry(build_manager(files))


def refusal(*files):
    with pytest.raises(PluginError) as caught:
        fresh(*files)
    return str(caught.value)


def test_the_built_in_adapters_come_through_the_same_hook():
    assert [fresh()[converter.name()] for converter in provide_dataset_converters()] == provide_dataset_converters()
    assert fresh().plugins["hh_rlhf"] == BUILT_IN


def test_an_installed_plugin_brings_an_adapter_and_no_loss(install):
    install("duels", ADAPTER + CONVERTER_HOOK)
    assert fresh().recognise(ROW).name() == "duels"
    assert fresh().plugins["duels"] == "duels"
    assert "duels" not in LossRegistry(build_manager())


def test_a_plugin_may_bring_both(plugin_file):
    file = plugin_file("both.py", LOSS + HOOK + ADAPTER + CONVERTER_HOOK)
    assert fresh(file).called("duels").read(ROW) == [{"chosen": "4", "rejected": "5"}]
    assert "absolute" in LossRegistry(build_manager([file]))


def test_a_blocked_plugin_brings_nothing(install, monkeypatch):
    install("duels", ADAPTER + CONVERTER_HOOK)
    monkeypatch.setenv(BLOCK, "duels")
    assert "duels" not in fresh()


def test_two_plugins_with_one_adapter_are_refused_with_both_names(install):
    install("duels", ADAPTER + CONVERTER_HOOK)
    install("again", ADAPTER + CONVERTER_HOOK)
    assert refusal() == (
        "Two plugins provide an converter called 'duels': acme_again.Duels (plugin again) and "
        "acme_duels.Duels (plugin duels). Rename one, or leave a plugin out: RLHF_LOSSES_BLOCK=duels."
    )


def test_a_plugin_cannot_replace_a_built_in_adapter(install):
    install("pirate", (ADAPTER + CONVERTER_HOOK).replace("Duels", "HhRlhf"))
    assert "hh_rlhf.HhRlhf (plugin built-in) and acme_pirate.HhRlhf (plugin pirate)" in refusal()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "@hookimpl\ndef provide_dataset_converters():\n    return 1 / 0\n",
            "fails in provide_dataset_converters: ZeroDivisionError",
        ),
        ("@hookimpl\ndef provide_dataset_converters():\n    pass\n", "returns None instead of a list of converters"),
        (
            ADAPTER + CONVERTER_HOOK.replace("[Duels]", "[Duels()]"),
            "which is not a class derived from DatasetConverter",
        ),
        (
            CONVERTER_HOOK.replace("Duels", "dict"),
            "provides <class 'dict'>, which is not a class derived from DatasetConverter",
        ),
        (
            ADAPTER.replace("def read", "def reads") + CONVERTER_HOOK,
            "Duels does not define read. Define it in the class",
        ),
        (ADAPTER.replace('(("winner", "loser"),)', "()") + CONVERTER_HOOK, "has the columns (), by which nothing is"),
        (ADAPTER.replace('(("winner", "loser"),)', '("winner", "loser")') + CONVERTER_HOOK, "Write a tuple of ways"),
        (ADAPTER.replace('"""A winner and a loser a row."""', "") + CONVERTER_HOOK, "has no docstring"),
        (ADAPTER.replace("https://example.org/duels", "") + CONVERTER_HOOK, "has no source"),
    ],
)
def test_an_adapter_that_breaks_the_contract_is_refused_with_its_plugin(install, code, told):
    install("acme", code)
    message = refusal()
    assert message.startswith("Plugin 'acme'")
    assert told in message


def test_an_adapter_that_fails_on_a_row_names_the_row_and_the_layout(plugin_file):
    file = plugin_file("fails.py", ADAPTER.replace('row["winner"],', 'row["winer"],') + CONVERTER_HOOK)
    with pytest.raises(
        InvalidFeedbackError, match=r"Row 0 of data cannot be read as duels: KeyError: 'winer'\. Mend the row"
    ):
        convert_dataset(Dataset.from_list([ROW]), plugin_files=[file])


def test_adapters_are_gathered_once_for_the_same_files(plugin_file):
    file = plugin_file("mine.py", ADAPTER + CONVERTER_HOOK)
    assert converters() is converters()
    assert converters([file]) is converters((str(file),))
    assert converters()["hh_rlhf"] is HhRlhf
    assert len(converters([file])) == len(converters()) + 1
