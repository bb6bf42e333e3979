"""Feedback is joined, moved and mixed without loss."""

import pytest
import torch
from hypothesis import given

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import FEEDBACK_TYPES, Labels, Mixed, Pairs, Rankings, Ratings, Steps, Votes
from rlhf_losses.testing.examples import EXAMPLES, join
from rlhf_losses.testing.strategies import scores_with

ONE_PAIR = Pairs(chosen=[0], rejected=[1])
ONE_STEP = Steps(steps=[0], values=[1.0])


def test_numbers_that_only_some_pairs_have_are_filled_with_neutral_ones():
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


def test_numbers_that_no_pair_has_stay_absent():
    joined = Pairs.concatenate([ONE_PAIR, ONE_PAIR])
    assert (joined.margin, joined.weight, joined.preference) == (None, None, None)


def test_votes_without_ties_join_votes_with_ties():
    some = Votes(first=[0], second=[1], votes_first=[1], votes_second=[0], ties=[2])
    others = Votes(first=[2], second=[3], votes_first=[1], votes_second=[0])
    assert Votes.concatenate([some, others]).ties.tolist() == [2.0, 0.0]


def test_lists_of_different_lengths_are_joined_end_to_end():
    joined = join([Rankings.from_row({"ranks": [1, 2]}), Rankings.from_row({"ranks": [2, 1, 2]})])
    assert joined.candidates.tolist() == [0, 1, 2, 3, 4]
    assert joined.ranks.tolist() == [1, 2, 2, 1, 2]
    assert joined.sizes.tolist() == [2, 3]
    assert joined.item_positions.tolist() == [0, 2]


@pytest.mark.parametrize("kind", FEEDBACK_TYPES, ids=lambda kind: kind.__name__)
def test_nothing_joined_is_feedback_without_items(kind):
    nothing = kind.concatenate([])
    assert isinstance(nothing, kind)
    assert len(nothing) == len(nothing.item_positions) == nothing.score_count() == 0


@pytest.mark.parametrize("kind", FEEDBACK_TYPES, ids=lambda kind: kind.__name__)
def test_joined_items_are_the_items_of_the_parts(kind):
    rows = [kind.from_row(row) for batch in EXAMPLES[kind] for row in batch]
    joined = join(rows)
    assert len(joined) == sum(len(row) for row in rows)
    assert joined.score_count() == sum(row.score_count() for row in rows)


@pytest.mark.parametrize("kind", FEEDBACK_TYPES, ids=lambda kind: kind.__name__)
def test_every_item_has_an_anchor_among_the_scores(kind):
    for batch in EXAMPLES[kind]:
        joined = join([kind.from_row(row) for row in batch])
        assert len(joined.item_positions) == len(joined)
        assert int(joined.item_positions.max()) < joined.score_count()


@given(scores_with(Pairs))
def test_positions_may_be_renamed_together_with_the_scores(drawn):
    scores, pairs = drawn
    backwards = torch.arange(len(scores)).flip(0)
    assert pairs.reindexed(backwards).score_difference(scores.flip(0)).equal(pairs.score_difference(scores))


def test_renaming_changes_positions_and_nothing_else():
    rankings = Rankings(candidates=[0, 1], ranks=[1, 2], sizes=[2]).reindexed(torch.tensor([7, 3]))
    assert rankings.candidates.tolist() == [7, 3]
    assert (rankings.ranks.tolist(), rankings.sizes.tolist()) == ([1, 2], [2])
    assert rankings.score_count() == 8


def test_moving_keeps_values_and_absent_numbers():
    moved = Pairs(chosen=[0], rejected=[1], weight=[2.0]).to("cpu")
    assert (moved.weight.tolist(), moved.margin) == ([2.0], None)


def test_a_mixed_batch_gives_each_reader_its_kind():
    mixed = Mixed((ONE_PAIR, ONE_STEP))
    assert mixed.convert_to(Pairs) is ONE_PAIR
    assert mixed.convert_to(Steps) is ONE_STEP
    assert mixed.convert_to(Mixed) is mixed
    assert len(mixed) == 2
    assert mixed.item_positions.tolist() == [0, 0]


def test_a_mixed_batch_goes_down_where_the_kind_itself_is_missing():
    ratings = Ratings(candidates=[0, 1], ratings=[1.0, 2.0], sizes=[2])
    assert Mixed((ONE_STEP, ratings)).convert_to(Pairs).chosen.tolist() == [1]


def test_a_mixed_batch_without_a_kind_says_what_it_holds():
    with pytest.raises(FeedbackMismatchError, match="holds Pairs, Steps, and none of it can be read as Rankings"):
        Mixed((ONE_PAIR, ONE_STEP)).convert_to(Rankings)
    with pytest.raises(FeedbackMismatchError, match="holds no feedback"):
        Mixed(()).convert_to(Pairs)


def test_mixed_batches_are_joined_kind_by_kind():
    rows = [Mixed((ONE_PAIR, ONE_STEP)), Mixed((Pairs(chosen=[2], rejected=[3]),)), ONE_STEP]
    joined = Mixed.concatenate(rows)
    assert joined.convert_to(Pairs).chosen.tolist() == [0, 2]
    assert joined.convert_to(Steps).steps.tolist() == [0, 0]


def test_rows_of_different_kinds_lie_side_by_side():
    joined = join([Mixed((ONE_PAIR,)), Mixed((ONE_STEP,)), Mixed((ONE_PAIR, Labels(candidates=[0], labels=[1])))])
    assert joined.convert_to(Pairs).chosen.tolist() == [0, 3]
    assert joined.convert_to(Steps).steps.tolist() == [2]
    assert joined.convert_to(Labels).candidates.tolist() == [3]
    assert joined.score_count() == 5


def test_mixed_feedback_is_moved_and_renamed_kind_by_kind():
    mixed = Mixed((ONE_PAIR, ONE_STEP)).to("cpu").reindexed(torch.tensor([4, 5]))
    assert mixed.convert_to(Pairs).rejected.tolist() == [5]
    assert mixed.convert_to(Steps).steps.tolist() == [4]


def test_a_mixed_batch_holds_each_kind_once():
    with pytest.raises(InvalidFeedbackError, match=r"Join them first: Pairs\.concatenate"):
        Mixed((ONE_PAIR, ONE_PAIR))
