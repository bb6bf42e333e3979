"""Feedback is concatenated, moved to devices, reindexed and mixed."""

import pytest
import torch
from hypothesis import given

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import FEEDBACK_TYPES, Labels, Mixed, Pairs, Rankings, Ratings, Steps, Votes, shift_positions
from rlhf_losses.testing.examples import EXAMPLES, join
from rlhf_losses.testing.strategies import scores_with

ONE_PAIR = Pairs(chosen=[0], rejected=[1])
ONE_STEP = Steps(steps=[0], values=[1.0])


def test_a_field_of_some_pairs_is_filled_with_neutral_values_for_the_others():
    joined = Pairs.concatenate(
        [
            Pairs(chosen=[0], rejected=[1], margin=[0.5]),
            Pairs(chosen=[2], rejected=[3], weight=[2.0]),
            Pairs(chosen=[4], rejected=[5], preference=[0.75]),
        ]
    )
    assert joined.margin.tolist() == [0.5, 0.0, 0.0]
    assert joined.weight.tolist() == [1.0, 2.0, 1.0]
    assert joined.preference.tolist() == [1.0, 1.0, 0.75]


def test_a_field_that_no_pair_has_stays_none():
    joined = Pairs.concatenate([ONE_PAIR, ONE_PAIR])
    assert (joined.margin, joined.weight, joined.preference) == (None, None, None)


def test_votes_with_and_without_ties_are_concatenated():
    some = Votes(first=[0], second=[1], votes_first=[1], votes_second=[0], ties=[2])
    others = Votes(first=[2], second=[3], votes_first=[1], votes_second=[0])
    assert Votes.concatenate([some, others]).ties.tolist() == [2.0, 0.0]


def test_lists_of_different_lengths_are_concatenated():
    joined = join([Rankings.from_row({"ranks": [1, 2]}), Rankings.from_row({"ranks": [2, 1, 2]})])
    assert joined.candidates.tolist() == [0, 1, 2, 3, 4]
    assert joined.ranks.tolist() == [1, 2, 2, 1, 2]
    assert joined.sizes.tolist() == [2, 3]
    assert joined.item_positions.tolist() == [0, 2]


@pytest.mark.parametrize("feedback_type", FEEDBACK_TYPES, ids=lambda one: one.__name__)
def test_the_concatenation_of_nothing_has_no_items(feedback_type):
    empty = feedback_type.concatenate([])
    assert isinstance(empty, feedback_type)
    assert len(empty) == len(empty.item_positions) == empty.score_count() == 0


@pytest.mark.parametrize("feedback_type", FEEDBACK_TYPES, ids=lambda one: one.__name__)
def test_joined_rows_have_the_items_of_all_rows(feedback_type):
    rows = [feedback_type.from_row(row) for batch in EXAMPLES[feedback_type] for row in batch]
    joined = join(rows)
    assert len(joined) == sum(len(row) for row in rows)
    assert joined.score_count() == sum(row.score_count() for row in rows)


@pytest.mark.parametrize("feedback_type", FEEDBACK_TYPES, ids=lambda one: one.__name__)
def test_each_item_has_a_position_in_the_scores(feedback_type):
    for batch in EXAMPLES[feedback_type]:
        joined = join([feedback_type.from_row(row) for row in batch])
        assert len(joined.item_positions) == len(joined)
        assert int(joined.item_positions.max()) < joined.score_count()


@given(scores_with(Pairs))
def test_reindexing_feedback_and_scores_changes_no_difference(drawn):
    scores, pairs = drawn
    reversed_order = torch.arange(len(scores)).flip(0)
    assert pairs.reindexed(reversed_order).score_difference(scores.flip(0)).equal(pairs.score_difference(scores))


def test_reindexing_changes_positions_only():
    rankings = Rankings(candidates=[0, 1], ranks=[1, 2], sizes=[2]).reindexed(torch.tensor([7, 3]))
    assert rankings.candidates.tolist() == [7, 3]
    assert (rankings.ranks.tolist(), rankings.sizes.tolist()) == ([1, 2], [2])
    assert rankings.score_count() == 8


def test_moving_to_a_device_keeps_values_and_none():
    moved = Pairs(chosen=[0], rejected=[1], weight=[2.0]).to("cpu")
    assert (moved.weight.tolist(), moved.margin) == ([2.0], None)


def test_mixed_feedback_converts_to_each_of_its_types():
    mixed = Mixed((ONE_PAIR, ONE_STEP))
    assert mixed.convert_to(Pairs) is ONE_PAIR
    assert mixed.convert_to(Steps) is ONE_STEP
    assert mixed.convert_to(Mixed) is mixed
    assert len(mixed) == 2
    assert mixed.item_positions.tolist() == [0, 0]


def test_mixed_feedback_converts_a_part_if_a_type_is_missing():
    ratings = Ratings(candidates=[0, 1], ratings=[1.0, 2.0], sizes=[2])
    assert Mixed((ONE_STEP, ratings)).convert_to(Pairs).chosen.tolist() == [1]


def test_the_message_for_a_missing_type_has_the_types_of_mixed_feedback():
    with pytest.raises(FeedbackMismatchError, match="contain Pairs, Steps, which cannot be converted to Rankings"):
        Mixed((ONE_PAIR, ONE_STEP)).convert_to(Rankings)
    with pytest.raises(FeedbackMismatchError, match="contain no feedback"):
        Mixed(()).convert_to(Pairs)


def test_mixed_feedback_is_concatenated_type_by_type():
    rows = [Mixed((ONE_PAIR, ONE_STEP)), Mixed((Pairs(chosen=[2], rejected=[3]),)), ONE_STEP]
    joined = Mixed.concatenate(rows)
    assert joined.convert_to(Pairs).chosen.tolist() == [0, 2]
    assert joined.convert_to(Steps).steps.tolist() == [0, 0]


def test_rows_of_different_types_are_joined():
    joined = join([Mixed((ONE_PAIR,)), Mixed((ONE_STEP,)), Mixed((ONE_PAIR, Labels(candidates=[0], labels=[1])))])
    assert joined.convert_to(Pairs).chosen.tolist() == [0, 3]
    assert joined.convert_to(Steps).steps.tolist() == [2]
    assert joined.convert_to(Labels).candidates.tolist() == [3]
    assert joined.score_count() == 5


def test_mixed_feedback_is_moved_and_reindexed_type_by_type():
    mixed = Mixed((ONE_PAIR, ONE_STEP)).to("cpu").reindexed(torch.tensor([4, 5]))
    assert mixed.convert_to(Pairs).rejected.tolist() == [5]
    assert mixed.convert_to(Steps).steps.tolist() == [4]


def test_mixed_feedback_with_two_parts_of_a_type_is_refused():
    with pytest.raises(InvalidFeedbackError, match=r"Pairs 2 times.*Pairs\.concatenate"):
        Mixed((ONE_PAIR, ONE_PAIR))


def test_shifted_positions_use_the_given_numbers_of_scores():
    first, second = shift_positions([ONE_PAIR, ONE_PAIR], score_counts=[5, 2])
    assert (first.rejected.tolist(), second.chosen.tolist()) == ([1], [5])
