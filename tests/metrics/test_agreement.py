"""Accuracy and margin for every feedback type, and exact means over batches."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import BinaryAccuracy

from rlhf_losses.feedback import Labels, Mixed, Pairs, Rankings, Ratings, Steps, StepwiseRankings
from rlhf_losses.metrics import Tally, add_tallies, agreement


def test_equal_scores_count_half():
    scores = torch.tensor([1.0, 0.0, 2.0, 2.0])
    assert agreement(scores, Pairs(chosen=[0, 2], rejected=[1, 3]))["accuracy"].mean == (1 + 0.5) / 2


def test_tied_pairs_do_not_count_for_accuracy():
    pairs = Pairs(chosen=[0, 0], rejected=[1, 1], preference=[0.5, 0.9])
    assert agreement(torch.tensor([1.0, 0.0]), pairs)["accuracy"] == Tally(1.0, 1.0)


def test_a_preference_below_one_half_prefers_the_rejected_answer():
    pairs = Pairs(chosen=[0], rejected=[1], preference=[0.1])
    assert agreement(torch.tensor([1.0, 0.0]), pairs)["accuracy"].mean == 0.0


def test_accuracy_of_rankings_is_over_their_pairs():
    lists = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3])
    assert agreement(torch.tensor([3.0, 1.0, 2.0]), lists)["accuracy"].mean == pytest.approx(2 / 3)


def test_ratings_of_single_answers_have_no_accuracy():
    ratings = Ratings(candidates=[0, 1], ratings=[1.0, 2.0], sizes=[1, 1])
    assert agreement(torch.tensor([0.0, 1.0]), ratings)["accuracy"].count == 0


def test_rated_steps_do_not_count_as_labels():
    assert agreement(torch.tensor([1.0]), Steps(steps=[0], values=[0.3]))["accuracy"].count == 0


@given(st.lists(st.tuples(st.floats(0.1, 5) | st.floats(-5, -0.1), st.booleans()), min_size=1, max_size=20))
def test_label_accuracy_equals_torchmetrics(drawn):
    scores = torch.tensor([score for score, _ in drawn])
    labels = torch.tensor([float(label) for _, label in drawn])
    ours = agreement(scores, Labels(candidates=range(len(drawn)), labels=labels))["accuracy"].mean
    assert ours == pytest.approx(BinaryAccuracy()((scores > 0).int(), labels.int()).item(), rel=1e-5)


def test_labels_may_be_plus_and_minus_one():
    measured = agreement(torch.tensor([1.0, -1.0]), Labels(candidates=[0, 1], labels=[1.0, -1.0]))
    assert measured["accuracy"].mean == 1.0


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=12), st.integers(1, 11))
def test_tallies_of_batches_add_up(values, cut):
    cut = min(cut, len(values) - 1)
    parts = [torch.tensor(values[:cut]), torch.tensor(values[cut:])]
    whole = Tally.of(torch.tensor(values))
    added = add_tallies({"x": Tally.of(parts[0])}, {"x": Tally.of(parts[1])})["x"]
    assert added.mean == pytest.approx(whole.mean, abs=1e-6)


def test_mixed_feedback_uses_the_pairs():
    mixed = Mixed((Pairs(chosen=[0], rejected=[1]), Steps(steps=[0, 1], values=[0.0, 1.0])))
    assert agreement(torch.tensor([1.0, -1.0]), mixed)["accuracy"] == Tally(1.0, 1.0)


def test_answers_in_steps_are_compared_by_their_mean_step_score():
    feedback = StepwiseRankings(steps=[0, 1, 2, 3, 4], counts=[2, 1, 2], ranks=[1, 2, 3], sizes=[3])
    measured = agreement(torch.tensor([0.0, 4.0, 1.0, 5.0, 0.0]), feedback)
    assert measured["accuracy"].mean == (1 + 0 + 0) / 3
    assert measured["margin"].mean == pytest.approx(((2 - 1) + (2 - 2.5) + (1 - 2.5)) / 3)
