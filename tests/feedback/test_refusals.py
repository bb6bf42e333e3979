"""Feedback that cannot be is refused where it is made, with what to do about it."""

import pytest

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import (
    Labels,
    Pairs,
    Rankings,
    Ratings,
    Steps,
    StepwiseRankings,
    Votes,
    feedback_types_in_columns,
    feedback_types_of_row,
)

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        (Ratings, {"completion": "a", "rating": NAN}, "rating nan, which no loss can price. Replace it by a number"),
        (Ratings, {"completion": "a", "rating": None}, "rating nan"),
        (Ratings, {"completion": "a", "rating": INF}, "rating inf"),
        (Ratings, {"completions": ["a", "b"], "ratings": [1, None]}, "rating nan"),
        (Ratings, {"completions": ["a", "b"], "ratings": [1]}, "2 completions, 1 ratings"),
        (Ratings, {"completions": [], "ratings": []}, "without ratings, which says nothing. Drop the row"),
        (Ratings, {"completion": "a", "rating": "good"}, "rating = 'good', which is no number"),
        (Ratings, {"completions": ["a"], "ratings": "[1.0]"}, "which is no list. Write a list of numbers"),
        (Pairs, {"chosen": "a", "rejected": "b", "preference": 1.5}, "preference 1.5, outside 0 to 1. Rescale"),
        (Pairs, {"chosen": "a", "rejected": "b", "preference": -0.1}, "preference -0.1, outside 0 to 1"),
        (Pairs, {"chosen": "a", "rejected": "b", "preference": NAN}, "preference nan"),
        (Pairs, {"chosen": "a", "rejected": "b", "tie": 2}, "tie 2, outside 0 to 1"),
        (Pairs, {"chosen": "a", "rejected": "b", "preference": 0.9, "tie": 0.5}, "preference 0.9 with the tie 0.5"),
        (Pairs, {"chosen": "a", "rejected": "b", "margin": INF}, "margin inf"),
        (Pairs, {"chosen": "a", "rejected": "b", "margin": "big"}, "margin = 'big', which is no number"),
        (Pairs, {"chosen": "a", "rejected": "b", "weight": -1}, "weight -1, outside 0"),
        (Rankings, {"completions": ["a"], "ranks": [1]}, "one candidate, which ranks nothing. Give two or more"),
        (Rankings, {"completions": [], "ranks": []}, "ranks nothing"),
        (Rankings, {"completions": ["a", "b"], "ranks": [1, 2, 3]}, "2 completions, 3 ranks"),
        (Rankings, {"completions": ["a", "b"], "ranks": [1, NAN]}, "ranks nan"),
        (Rankings, {"completions": ["a", "b"], "ranks": [1, None]}, "ranks nan"),
        (Rankings, {"completions": ["a", "b"], "ranks": "12"}, "which is no list"),
        (Rankings, {"completions": ["a", "b"], "ranks": 1}, "which is no list"),
        (Labels, {"completion": "a", "label": None}, "label nan"),
        (Labels, {"completion": "a", "label": "yes"}, "label = 'yes', which is no number"),
        (Steps, {"completions": ["a", "b"], "labels": [True]}, "2 completions, 1 labels"),
        (Steps, {"completions": ["a", "b"], "labels": [True, None]}, "labels nan"),
        (Steps, {"completions": [], "labels": []}, "without steps, which says nothing. Drop the row"),
        (Votes, {"completions": ["a", "b"], "votes": [0, 0]}, "nobody voted, which prefers nothing. Drop the pairs"),
        (Votes, {"completions": ["a", "b"], "votes": [0, 0], "ties": 0}, "nobody voted"),
        (Votes, {"completions": ["a", "b"], "votes": [2, -1]}, "votes_second -1, outside 0"),
        (Votes, {"completions": ["a", "b"], "votes": [2, None]}, "votes_second nan"),
        (Votes, {"completions": ["a", "b"], "votes": [2, 1], "ties": NAN}, "ties nan"),
        (Votes, {"completions": ["a", "b"], "votes": [2, 1], "ties": "one"}, "ties = 'one'"),
        (Votes, {"completions": ["a", "b"], "votes": [2, 1, 1]}, "3 counts for 2 completions. A vote is between two"),
        (Votes, {"completions": ["a", "b", "c"], "votes": [2, 1]}, "2 counts for 3 completions"),
    ],
)
def test_a_row_with_values_that_cannot_be_is_refused(kind, row, told):
    with pytest.raises(InvalidFeedbackError) as caught:
        kind.from_row(row)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Pairs(chosen=[0, 1], rejected=[2]), "Pairs got 2 chosen, 1 rejected. Each item needs one of each"),
        (lambda: Pairs(chosen=[0], rejected=[1], margin=[1.0, 2.0]), "2 margin"),
        (lambda: Rankings(candidates=[0, 1], ranks=[1], sizes=[2]), "2 candidates, 1 ranks"),
        (lambda: Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[2]), "sizes that add up to 2 for 3 candidates"),
        (lambda: Rankings(candidates=[0, 1, 2], ranks=[1, 2, 1], sizes=[2, 1]), "one candidate, which ranks nothing"),
        (lambda: Ratings(candidates=[0, 1], ratings=[1.0], sizes=[2]), "2 candidates, 1 ratings"),
        (lambda: Ratings(candidates=[0, 1], ratings=[1.0, 2.0], sizes=[1]), "sizes that add up to 1 for 2 candidates"),
        (lambda: Labels(candidates=[0], labels=[]), "1 candidates, 0 labels"),
        (lambda: Rankings(candidates=[0, 1], ranks=[1, 2], sizes=[2], grades=[1.0]), "1 grades"),
        (lambda: Steps(steps=[0, 1], values=[1.0]), "2 steps, 1 labels"),
        (lambda: Steps(steps=[0, 1], values=[1.0, 0.0], sizes=[1]), "sizes that add up to 1"),
        (lambda: Steps(steps=[0], values=[1.0], sizes=[0, 1]), "an answer without steps"),
        (lambda: StepwiseRankings([0, 1], [1, 0, 1], [1, 2, 3], [3]), "an answer without steps, which has no score"),
        (lambda: StepwiseRankings([0, 1], [1, 1], [1, 2], [1, 1]), "a list of one answer, which ranks nothing"),
        (lambda: StepwiseRankings([0, 1], [1, 2], [1, 2], [2]), "sizes that add up to 3 for 2"),
        (lambda: Votes(first=[0], second=[], votes_first=[1], votes_second=[1]), "1 first, 0 second"),
    ],
)
def test_fields_that_do_not_fit_each_other_are_refused(make, told):
    with pytest.raises(InvalidFeedbackError) as caught:
        make()
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (["prompt", "completions", "labels", "ranks"], "the answers of Rankings and the steps of one answer"),
        (["prompt", "completions", "labels", "votes"], "the answers of Votes and the steps of one answer"),
        (["prompt", "completions", "labels", "ratings"], "the answers of Ratings and the steps of one answer"),
    ],
)
def test_completions_that_could_be_answers_or_steps_are_refused(columns, told):
    with pytest.raises(FeedbackMismatchError) as caught:
        feedback_types_in_columns(columns)
    assert told in str(caught.value)
    assert "split the data into two datasets" in str(caught.value)


def test_a_column_that_is_null_in_a_row_holds_nothing_there():
    row = {"completions": ["a", "b"], "labels": [1, 0], "ranks": None, "votes": None}
    assert feedback_types_of_row(row) == (Steps,)
