"""Accuracy and margin for every feedback type, and exact means over batches."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import BinaryAccuracy

from rlhf_losses.feedback import Labels, Mixed, Pairs, Rankings, Ratings, Steps, StepwiseRankings, Votes
from rlhf_losses.losses import bradley_terry, segment_rating, step_cross_entropy
from rlhf_losses.metrics import Tally, add_tallies, agreement, labelled_scores


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


def test_the_margin_is_in_favour_of_the_preferred_answer():
    measured = agreement(torch.tensor([0.0, 5.0]), Pairs(chosen=[0], rejected=[1], preference=[0.0]))
    assert (measured["margin"].mean, measured["accuracy"].mean) == (5.0, 1.0)


@given(
    st.lists(
        st.tuples(st.floats(-9, 9, width=32), st.floats(-9, 9, width=32), st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0])),
        min_size=1,
        max_size=12,
    )
)
def test_the_margin_is_the_mean_difference_with_the_sign_of_the_preference_over_untied_pairs(drawn):
    count = len(drawn)
    scores = torch.tensor([first for first, _, _ in drawn] + [second for _, second, _ in drawn])
    pairs = Pairs(range(count), range(count, 2 * count), preference=[preference for _, _, preference in drawn])
    untied = [(a - b) if preference > 0.5 else (b - a) for a, b, preference in drawn if preference != 0.5]
    margin = agreement(scores, pairs)["margin"]
    assert margin.count == len(untied)
    assert margin.total == pytest.approx(sum(untied), abs=1e-5)


def test_the_order_of_tied_answers_does_not_change_the_margin():
    forward = Rankings(candidates=[0, 1, 2], ranks=[1, 1, 2], sizes=[3])
    backward = Rankings(candidates=[1, 0, 2], ranks=[1, 1, 2], sizes=[3])
    scores = torch.tensor([4.0, 1.0, 0.0])
    assert agreement(scores, forward)["margin"] == agreement(scores, backward)["margin"] == Tally(4 + 1, 2)


@pytest.mark.parametrize("votes", [([1.0], [3.0]), ([3.0], [1.0])])
def test_the_margin_of_votes_is_in_favour_of_the_majority(votes):
    feedback = Votes(first=[0], second=[1], votes_first=votes[0], votes_second=votes[1])
    expected = 2.0 if votes[0] > votes[1] else -2.0
    assert agreement(torch.tensor([3.0, 1.0]), feedback)["margin"] == Tally(expected, 1.0)


def test_tied_answers_in_steps_do_not_count():
    feedback = StepwiseRankings(steps=[0, 1, 2], counts=[1, 1, 1], ranks=[1, 1, 2], sizes=[3])
    assert agreement(torch.tensor([4.0, 1.0, 0.0]), feedback)["margin"] == Tally(4 + 1, 2)


def test_rated_steps_do_not_count_as_labels():
    rated = Steps(steps=[0], values=[1.0])
    assert agreement(torch.tensor([1.0]), rated, rated_steps=True) == {}
    assert labelled_scores(torch.tensor([1.0]), rated, rated_steps=True) is None


def test_the_loss_declares_whether_steps_are_rated():
    assert segment_rating.as_objective().rates_steps
    assert (segment_rating + 0.1 * bradley_terry).rates_steps
    assert not step_cross_entropy.as_objective().rates_steps
    assert not bradley_terry.as_objective().rates_steps


@pytest.mark.parametrize("kind", ["labels", "steps"])
@given(
    drawn=st.lists(
        st.tuples(st.floats(-3, 3, width=32), st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0])), min_size=2, max_size=10
    ),
    cut=st.integers(1, 9),
)
def test_the_accuracy_of_soft_labels_does_not_depend_on_the_division_into_batches(kind, drawn, cut):
    def measured(part):
        scores, labels = torch.tensor([score for score, _ in part]), [label for _, label in part]
        positions = range(len(part))
        return agreement(scores, Labels(positions, labels) if kind == "labels" else Steps(positions, labels))[
            "accuracy"
        ]

    cut = min(cut, len(drawn) - 1)
    right = [0.5 if score == 0 else float((score > 0) == (label > 0.5)) for score, label in drawn if label != 0.5]
    assert measured(drawn[:cut]) + measured(drawn[cut:]) == measured(drawn) == Tally(sum(right), len(right))


def test_soft_labels_count_by_their_side_of_one_half():
    feedback = Labels(candidates=[0, 1, 2], labels=[0.5, 0.8, 0.3])
    assert agreement(torch.tensor([1.0, 1.0, 1.0]), feedback)["accuracy"] == Tally(1.0, 2.0)
    assert labelled_scores(torch.tensor([1.0, 2.0, 3.0]), feedback).tolist() == [[2.0, 1.0], [3.0, -1.0]]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([-2.0, -1.0, 1.0, 2.0]), st.booleans()), min_size=1, max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_first_errors_count_as_in_processbench(answers):
    """In ProcessBench a solution has the index of its first error, or -1, and a prediction matches it or not."""
    matches = {True: [], False: []}
    for answer in answers:
        label = next((i for i, (_, is_correct) in enumerate(answer) if not is_correct), -1)
        prediction = next((i for i, (score, _) in enumerate(answer) if score < 0), -1)
        matches[label == -1].append(prediction == label)
    steps = [step for answer in answers for step in answer]
    feedback = Steps(range(len(steps)), [float(right) for _, right in steps], sizes=[len(one) for one in answers])
    measured = agreement(torch.tensor([score for score, _ in steps]), feedback)
    for name, found in (("processbench_correct", matches[True]), ("processbench_error", matches[False])):
        assert measured[name] == Tally(sum(found), len(found))


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
