"""`check_converter`: the built-in converters keep the contract, and for each rule a converter breaks it."""

import pytest
from known_formats import EXAMPLES, TREE

from rlhf_losses.converters import DatasetConverter, HhRlhf, OpenAssistant
from rlhf_losses.testing import check_converter

ROW = {"request": "2 + 2 = ", "winner": "4", "loser": "5"}


class Duels(DatasetConverter):
    """Pairs with one winner and one loser."""

    columns = (("request", "winner", "loser"),)
    source = "https://example.org/duels"

    def convert(self, row):
        return [{"prompt": row["request"], "chosen": row["winner"], "rejected": row["loser"]}]


@pytest.mark.parametrize("converter", EXAMPLES, ids=lambda converter: converter.name())
def test_built_in_converters_keep_the_contract(converter):
    check_converter(converter(), *(TREE if converter is OpenAssistant else [EXAMPLES[converter]]))


def test_a_converter_that_no_plugin_provides_is_checked():
    check_converter(Duels(), ROW, ROW)


def test_a_row_without_feedback_may_be_dropped():
    class Strict(Duels):
        """Pairs whose answers differ."""

        def convert(self, row):
            return super().convert(row) if row["winner"] != row["loser"] else []

    check_converter(Strict(), ROW, {**ROW, "loser": "4"})
    with pytest.raises(AssertionError, match=r"No row has feedback\. Pass a row with feedback"):
        check_converter(Strict(), {**ROW, "loser": "4"})


def broken(**changes):
    """Return an instance of `Duels` with other attributes."""
    return type("Duels", (Duels,), {"__doc__": Duels.__doc__, **changes})()


def _changes_the_row(self, row):
    row["prompt"] = row.pop("request")
    return [{"prompt": row["prompt"], "chosen": row["winner"], "rejected": row["loser"]}]


def _counts(self, row):
    self.count = getattr(self, "count", 0) + 1
    return [{"prompt": str(self.count), "chosen": row["winner"], "rejected": row["loser"]}]


@pytest.mark.parametrize(
    ("converter", "problem"),
    [
        (Duels, r"The argument is a class\. Pass an instance: check_converter\(Duels\(\), row\)"),
        (broken(__doc__=None), "Duels has no docstring"),
        (broken(source=""), "Duels has no source"),
        (broken(columns=()), r"Duels has columns = \(\)"),
        (broken(columns=(("left", "right"),)), r"read by native\. Correct columns or matches"),
        (broken(convert=_changes_the_row), r"Build a new row"),
        (broken(convert=_counts), r"and then another result\. Let convert depend on the row alone"),
        (broken(texts=_counts), r"and then another result\. Let texts depend on the row alone"),
        (broken(texts=lambda self, row: []), r"texts returned \[\]\. Return a list"),
        (broken(texts=lambda self, row: [{"answer": row["winner"]}]), r"The columns answer have no text\. Name them"),
        (broken(convert=lambda self, row: Duels.convert(self, row)[0]), r"Return a list, for one row \[row\]"),
        (
            broken(convert=lambda self, row: [*Duels.convert(self, row), {"chosen": "4", "rejected": "5"}]),
            r"\['prompt', 'chosen', 'rejected'\] and \['chosen', 'rejected'\]",
        ),
        (broken(convert=lambda self, row: [{"prompt": "a", "better": "4"}]), "prompt, better have no feedback"),
        (broken(convert=lambda self, row: [{**Duels.convert(self, row)[0], "margin": "?"}]), "margin"),
        (broken(convert=lambda self, row: [{"chosen": row["won"], "rejected": ""}]), "KeyError: 'won'"),
    ],
)
def test_a_broken_rule_is_named(converter, problem):
    with pytest.raises(AssertionError, match=problem) as caught:
        check_converter(converter, ROW)
    assert "Duels breaks a rule. " in str(caught.value)


def test_rows_that_another_converter_matches_too_are_refused():
    class Copied(HhRlhf):
        """The transcripts of HH-RLHF again."""

    with pytest.raises(AssertionError, match=r"hh_rlhf.*copied|copied.*hh_rlhf"):
        check_converter(Copied(), EXAMPLES[HhRlhf])
