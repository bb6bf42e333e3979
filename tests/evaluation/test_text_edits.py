"""Edits keep the words of an answer."""

import re
from pathlib import Path

import numpy as np
import pytest

from rlhf_losses.evaluation.edit_effects import EditedScores, edit_effects
from rlhf_losses.evaluation.text_edits import EDITS, FILLER, GREETING, HEDGE

TEXT = "It rains. Take a coat, please! Or stay at home?"


def words(text):
    return re.findall(r"\w+", text)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_the_text_and_keeps_its_words_in_order(name):
    edited = EDITS[name](TEXT)
    assert edited != TEXT
    remaining = iter(words(edited))
    assert all(word in remaining for word in words(TEXT))


@pytest.mark.parametrize(
    ("name", "text"), [("list", "- a.\n- b."), ("list", "One."), ("bold", "**a** b"), ("length", " ")]
)
def test_a_text_that_has_the_form_already_stays_as_it_is(name, text):
    assert EDITS[name](text) == text


def test_changes_by_rounding_are_no_effects():
    scores = np.array([2.0, 1.0])
    edited = scores + np.array([1e-7, -3e-7])
    (effect,) = edit_effects(
        EditedScores(
            scores, scores, {"bold": edited}, {"bold": 3}, np.array([0]), np.array([1]), np.array([0, 1]), rows=2
        )
    ).edits
    assert (effect.change.value, effect.raised.value) == (0, 0.5)
    assert np.isnan(effect.change.low)  # equal changes have no spread to derive an interval from


def test_effects_are_changes_in_standard_deviations_and_flipped_pairs():
    """The edit adds 2 to each score; the first pair flips because the worse answer then has 3 > 2."""
    scores = np.array([2.0, 1.0, 9.0, 0.0])
    scored = EditedScores(
        scores, np.array([2.0, 1.0, 9.0, 1e-3]), {"bold": np.array([4.0, 3.0, 11.0, np.nan])}, {"bold": 1},
        np.array([0, 2]), np.array([1, 3]), np.array([0, 0, 1, 1]), rows=2,
    )  # fmt: skip
    found = edit_effects(scored)
    (effect,) = found.edits
    assert (effect.answers, effect.same_tokens) == (3, 1)
    assert effect.change.value == pytest.approx(2 / scores.std())
    assert (effect.raised.value, effect.flipped.value, effect.flipped.count) == (1.0, 1.0, 1)
    assert found.largest_change_by_order == pytest.approx(1e-3)
    assert found.same_by_order.value == 1.0


def test_the_guide_has_the_inserted_texts():
    guide = Path(__file__).parents[2].joinpath("docs", "how-to", "evaluate.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `(\w+)` \| (.* at the (?:end|beginning)) \|$", guide, re.MULTILINE))
    assert table == {
        "length": f'adds "{FILLER}" at the end',
        "greeting": f'adds "{GREETING}" at the beginning',
        "hedging": f'adds "{HEDGE}" at the beginning',
    }
    assert all(f"| `{name}` |" in guide for name in EDITS)
