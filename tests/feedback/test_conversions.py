"""Feedback converts to types with less information, never to types with more."""

from itertools import product

import pytest
import torch
from hypothesis import given

from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.feedback import (
    FEEDBACK_TYPES,
    Attributes,
    Labels,
    Pairs,
    Rankings,
    Ratings,
    Steps,
    StepwiseRankings,
    Votes,
    find_source_type,
)
from rlhf_losses.testing.strategies import scores_with

COARSER = {
    Votes: {Pairs},
    Ratings: {Rankings, Pairs},
    Rankings: {Pairs},
    Pairs: set(),
    Labels: set(),
    Steps: set(),
    Attributes: set(),
    StepwiseRankings: set(),
}
EXAMPLES = {
    Pairs: Pairs(chosen=[0], rejected=[1]),
    Rankings: Rankings(candidates=[0, 1], ranks=[1, 2], sizes=[2]),
    Ratings: Ratings(candidates=[0, 1], ratings=[5.0, 1.0], sizes=[2]),
    Labels: Labels(candidates=[0], labels=[1.0]),
    Steps: Steps(steps=[0], values=[1.0]),
    StepwiseRankings: StepwiseRankings(steps=[0, 1, 2], counts=[2, 1], ranks=[1, 2], sizes=[2]),
    Votes: Votes(first=[0], second=[1], votes_first=[3], votes_second=[0]),
    Attributes: Attributes.from_row({"attributes": {"helpfulness": 4.0}}),
}


def as_sets(pairs):
    """Return the comparisons of a batch in sorted order."""
    return sorted(zip(pairs.chosen.tolist(), pairs.rejected.tolist(), pairs.preference.tolist(), strict=True))


@pytest.mark.parametrize(
    ("source", "target"), list(product(FEEDBACK_TYPES, FEEDBACK_TYPES)), ids=lambda one: one.__name__
)
def test_conversions_discard_information_only(source, target):
    feedback = EXAMPLES[source]
    allowed = target is source or target in COARSER[source]
    assert source.is_convertible_to(target) == allowed
    if allowed:
        assert isinstance(feedback.convert_to(target), target)
    else:
        with pytest.raises(FeedbackMismatchError, match=rf"{source.__name__} cannot .* to {target.__name__}: .* only"):
            feedback.convert_to(target)


def test_the_message_for_a_missing_conversion_has_the_command_that_lists_losses():
    with pytest.raises(FeedbackMismatchError, match="rlhf-losses list --feedback labels"):
        EXAMPLES[Labels].convert_to(Pairs)


def test_the_answer_with_more_votes_is_chosen_with_its_share_as_preference():
    votes = Votes(first=[0, 2], second=[1, 3], votes_first=[3, 1], votes_second=[1, 4])
    assert as_sets(votes.to_pairs()) == [(0, 1, 3 / 4), (3, 2, pytest.approx(4 / 5))]


def test_a_vote_for_a_tie_counts_half_for_each_answer():
    votes = Votes(first=[0, 2], second=[1, 3], votes_first=[1, 0], votes_second=[0, 0], ties=[1, 2])
    assert as_sets(votes.to_pairs()) == [(0, 1, (1 + 1 / 2) / 2), (2, 3, 0.5)]


def test_equal_votes_are_a_tie():
    votes = Votes(first=[0], second=[1], votes_first=[2], votes_second=[2])
    assert as_sets(votes.to_pairs()) == [(0, 1, 0.5)]


def test_unanimous_votes_have_preference_1():
    votes = Votes(first=[0], second=[1], votes_first=[0], votes_second=[3])
    assert as_sets(votes.to_pairs()) == [(1, 0, 1.0)]


def test_ratings_rank_the_answers_of_a_prompt_from_high_to_low():
    ratings = Ratings(candidates=[0, 1, 2, 3, 4], ratings=[3.0, 4.5, 3.0, 1.0, 2.0], sizes=[3, 2])
    rankings = ratings.to_rankings()
    assert rankings.candidates.tolist() == [0, 1, 2, 3, 4]
    assert rankings.ranks.tolist() == [2, 1, 2, 2, 1]
    assert rankings.sizes.tolist() == [3, 2]


def test_ratings_of_different_prompts_form_no_pairs():
    ratings = Ratings(candidates=[0, 1, 2], ratings=[1.0, 5.0, 3.0], sizes=[1, 2])
    assert as_sets(ratings.convert_to(Pairs)) == [(1, 2, 1.0)]


def test_a_prompt_with_one_rating_has_no_ranking():
    ratings = Ratings(candidates=[0, 1], ratings=[1.0, 5.0], sizes=[1, 1])
    assert len(ratings.to_rankings()) == 0
    assert len(ratings.convert_to(Pairs)) == 0


def test_a_ranking_converts_to_all_its_pairs():
    rankings = Rankings(candidates=[5, 6, 7], ranks=[2, 3, 1], sizes=[3])
    assert as_sets(rankings.to_pairs()) == [(5, 6, 1.0), (7, 5, 1.0), (7, 6, 1.0)]


def test_a_tie_in_a_ranking_is_a_pair_with_preference_one_half():
    rankings = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 1], sizes=[3])
    assert as_sets(rankings.to_pairs()) == [(0, 1, 1.0), (0, 2, 0.5), (2, 1, 1.0)]


@given(scores_with(Rankings))
def test_a_list_of_k_answers_has_k_choose_two_pairs(drawn):
    _, rankings = drawn
    sizes = rankings.sizes
    assert len(rankings.to_pairs()) == int((sizes * (sizes - 1) // 2).sum())


@given(scores_with(Ratings))
def test_the_chosen_answer_of_a_pair_has_the_higher_rating(drawn):
    _, ratings = drawn
    value = dict(zip(ratings.candidates.tolist(), ratings.ratings.tolist(), strict=True))
    for better, worse, preference in as_sets(ratings.convert_to(Pairs)) if len(ratings.to_rankings()) else []:
        assert value[better] > value[worse] if preference == 1 else value[better] == value[worse]


@given(scores_with(Votes))
def test_the_preference_of_votes_is_at_least_one_half(drawn):
    _, votes = drawn
    assert (votes.to_pairs().preference >= 0.5).all()


def test_feedback_without_items_converts_to_feedback_without_items():
    assert len(Rankings.concatenate([]).to_pairs()) == 0
    assert len(Ratings.concatenate([]).convert_to(Pairs)) == 0
    assert len(Votes.concatenate([]).to_pairs()) == 0


def test_the_source_of_a_type_is_the_type_itself_if_available():
    assert find_source_type(Pairs, [Votes, Rankings, Pairs]) is Pairs
    assert find_source_type(Pairs, [Steps, Ratings]) is Ratings
    assert find_source_type(Rankings, [Pairs, Votes]) is None
    assert find_source_type(Steps, []) is None


def test_conversions_keep_the_positions_in_the_scores():
    rankings = Rankings(candidates=[3, 1], ranks=[1, 2], sizes=[2])
    scores = torch.tensor([9.0, 1.0, 9.0, 4.0])
    assert rankings.to_pairs().score_difference(scores).tolist() == [4.0 - 1.0]


def test_a_preference_of_one_half_without_tie_is_a_tie():
    win, tie, defeat = Pairs(chosen=[0, 0, 0], rejected=[1, 1, 1], preference=[1.0, 0.5, 0.75]).outcomes()
    assert (win.tolist(), tie.tolist(), defeat.tolist()) == ([1.0, 0.0, 0.75], [0.0, 1.0, 0.0], [0.0, 0.0, 0.25])


def test_equal_numbers_of_votes_are_no_tie():
    split = Votes(first=[0, 0], second=[1, 1], votes_first=[2, 1], votes_second=[2, 1], ties=[0, 2]).to_pairs()
    assert split.preference.tolist() == [0.5, 0.5]
    win, tie, defeat = split.outcomes()
    assert (win.tolist(), tie.tolist(), defeat.tolist()) == ([0.5, 0.25], [0.0, 0.5], [0.5, 0.25])


def test_a_pair_that_is_no_tie_is_a_certain_win():
    win, tie, defeat = Pairs.from_row({"tie": False}).outcomes()
    assert (win.item(), tie.item(), defeat.item()) == (1.0, 0.0, 0.0)


def test_outcomes_of_plain_pairs_are_wins():
    assert [share.tolist() for share in Pairs(chosen=[0, 1], rejected=[1, 0]).outcomes()] == [[1, 1], [0, 0], [0, 0]]


def test_rankings_from_ratings_keep_the_ratings_as_grades():
    ratings = Ratings(candidates=[0, 1, 2, 3], ratings=[0.5, 3.0, 4.5, 4.5], sizes=[1, 3])
    assert ratings.to_rankings().grades.tolist() == [3.0, 4.5, 4.5]


def test_grades_without_ratings_are_the_numbers_of_ranks_below():
    assert Rankings(candidates=range(5), ranks=[2, 1, 2, 2, 1], sizes=[3, 2]).grades.tolist() == [0, 1, 0, 0, 1]
