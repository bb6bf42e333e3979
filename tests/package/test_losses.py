"""Every built-in loss is documented, exported and named alike."""

import importlib
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

import rlhf_losses
from rlhf_losses.hooks.builtins import provide_losses
from rlhf_losses.losses import Loss

ROOT = Path(__file__).parents[2]
LOSSES = list(provide_losses())


def sections(loss: type[Loss]) -> dict[str, str]:
    """Return the parts of a docstring by their headings."""
    text = inspect.getdoc(loss) or ""
    headed = re.split(r"^(\w+):\n", text, flags=re.MULTILINE)
    return dict(zip(headed[1::2], headed[2::2], strict=True)) | {"": headed[0]}


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name())
class TestEachLoss:
    def test_begins_with_one_sentence_and_a_formula(self, loss):
        first, _, rest = sections(loss)[""].partition("\n\n")
        assert first.endswith(".")
        assert first.count(". ") <= 1
        assert rest.startswith(".. math:: ")

    def test_has_the_sections_that_people_look_for_in_order(self, loss):
        expected = [
            "Feedback",
            *(["Options"] if fields(loss) else []),
            "Relations",
            "Reference",
            "Example",
        ]
        assert [name for name in sections(loss) if name] == expected

    def test_documents_every_option_and_no_other(self, loss):
        told = re.findall(r"^\s+`(\w+)`", sections(loss).get("Options", ""), re.MULTILINE)
        assert told == [field.name for field in fields(loss)]

    def test_names_its_source_with_a_link(self, loss):
        assert re.search(r"\(\d{4}\).*https://", sections(loss)["Reference"], re.DOTALL)

    def test_shows_an_example_that_calls_it(self, loss):
        assert re.search(rf">>> .*{loss.__name__}\(", sections(loss)["Example"])

    def test_names_only_losses_that_exist_in_its_relations(self, loss):
        names = {other.name() for other in LOSSES} | {"center_rewards_coefficient"}
        for code in re.findall(r"`([^`]+)`", sections(loss)["Relations"]):
            words = set(re.findall(r"[a-z]+_[a-z_]+", code))
            assert words <= names, code

    def test_is_exported_as_a_class_and_as_an_object_of_the_name_in_expressions(self, loss):
        module = importlib.import_module(loss.__module__)
        assert loss.__module__.rpartition(".")[2] == loss.name()
        assert getattr(module, loss.name()) == loss()
        assert getattr(rlhf_losses, loss.__name__) is loss
        assert getattr(rlhf_losses, loss.name()) is getattr(module, loss.name())

    def test_is_on_the_page_that_helps_to_choose(self, loss):
        page = (ROOT / "docs/choosing-a-loss.md").read_text(encoding="utf-8")
        assert loss.name() in {word for code in re.findall(r"`([^`]+)`", page) for word in re.findall(r"\w+", code)}


def test_every_loss_in_the_folders_comes_through_the_door():
    files = {path.stem for path in (ROOT / "rlhf_losses/losses").glob("*/*.py") if path.stem != "__init__"}
    assert files == {loss.name() for loss in LOSSES}
