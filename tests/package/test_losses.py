"""Every built-in loss has a complete docstring, is exported, and is named after its class."""

import importlib
import inspect
import re
from dataclasses import fields
from pathlib import Path

import griffe
import pytest

import rlhf_losses
from rlhf_losses.cli.docstring import parse_docstring
from rlhf_losses.hooks.builtins import provide_losses

ROOT = Path(__file__).parents[2]
LOSSES = list(provide_losses())
NAMES = {cls.name() for cls in LOSSES}


def section_titles(cls: type) -> list[str]:
    """Return the titles of the sections of a docstring, in order."""
    parsed = griffe.Docstring(inspect.getdoc(cls)).parse("google", warnings=False)
    kinds = {griffe.DocstringSectionKind.parameters: "Args", griffe.DocstringSectionKind.examples: "Examples"}
    return [kinds.get(one.kind, one.title) for one in parsed if one.kind is not griffe.DocstringSectionKind.text]


@pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.name())
class TestEachLoss:
    def test_starts_with_one_sentence_on_one_line_and_a_formula(self, cls):
        summary, formula, *_ = inspect.getdoc(cls).split("\n\n")
        assert re.fullmatch(r"[A-Z].*[^.]\.", summary)
        assert summary.count(". ") == 0
        assert formula.startswith("$$")
        assert formula.endswith("$$")

    def test_states_when_to_use_it_and_which_loss_to_use_otherwise(self, cls):
        text = parse_docstring(cls).text
        assert re.search(r"\bUse it\b|This is the standard loss", text)
        assert NAMES & set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text)))) - {cls.name()}

    def test_has_the_sections_in_order(self, cls):
        expected = ["Feedback", *(["Args"] if fields(cls) else []), "References", "Examples"]
        assert section_titles(cls) == expected

    def test_documents_every_option_and_no_other(self, cls):
        assert list(parse_docstring(cls).arguments) == [field.name for field in fields(cls)]

    def test_has_a_reference_with_a_link(self, cls):
        assert re.search(r"\(\d{4}\).*https://", parse_docstring(cls).sections["References"], re.DOTALL)

    def test_has_an_example_that_calls_it(self, cls):
        assert re.search(rf">>> .*{cls.__name__}\(", parse_docstring(cls).sections["Examples"])

    def test_names_only_losses_that_exist(self, cls):
        docstring = parse_docstring(cls)
        other_names = {"center_rewards_coefficient", "label_smoothing", "average_over", *(f.name for f in fields(cls))}
        for code in re.findall(r"`([^`]+)`", docstring.text):
            assert set(re.findall(r"[a-z]+_[a-z_]+", code)) <= NAMES | other_names, code

    def test_is_exported_as_a_class_and_as_an_instance_with_its_name(self, cls):
        module = importlib.import_module(cls.__module__)
        assert cls.__module__.rpartition(".")[2] == cls.name()
        assert getattr(module, cls.name()) == cls()
        assert getattr(rlhf_losses, cls.__name__) is cls
        assert getattr(rlhf_losses, cls.name()) is getattr(module, cls.name())

    def test_is_on_the_page_about_the_choice_of_a_loss(self, cls):
        page = (ROOT / "docs/choosing-a-loss.md").read_text(encoding="utf-8")
        assert cls.name() in {word for code in re.findall(r"`([^`]+)`", page) for word in re.findall(r"\w+", code)}


def test_every_loss_in_the_folders_is_provided():
    files = {path.stem for path in (ROOT / "rlhf_losses/losses").glob("*/*.py") if path.stem != "__init__"}
    assert files == NAMES
