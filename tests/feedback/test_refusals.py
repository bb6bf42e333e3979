"""Invalid feedback is refused with the received value, the reason and a remedy."""

import re

import pytest

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import (
    Attributes,
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


REMEDY = re.compile(r"Replace|Drop|drop|Rescale|Write|Complete|Pass|Add|Set")


@pytest.mark.parametrize(
    ("feedback_type", "row", "message"),
    [
        (Ratings, {"completion": "a", "rating": NAN}, "rating nan.* finite numbers"),
        (Ratings, {"completion": "a", "rating": None}, "rating nan"),
        (Ratings, {"completion": "a", "rating": INF}, "rating inf"),
        (Ratings, {"completions": ["a", "b"], "ratings": [1, None]}, "rating nan"),
        (Ratings, {"completions": ["a", "b"], "ratings": [1]}, "2 completions, 1 ratings.* one of each"),
        (Ratings, {"completions": [], "ratings": []}, "0 ratings.* no items"),
        (Ratings, {"completion": "a", "rating": "good"}, "'rating' contains 'good'.* not a number"),
        (Ratings, {"completions": ["a"], "ratings": "[1.0]"}, r"'ratings' is '\[1.0\]'.* not a list"),
        (Pairs, {"chosen": "a", "rejected": "b", "preference": 1.5}, "preference 1.5.* outside 0 to 1"),
        (Pairs, {"chosen": "a", "rejected": "b", "preference": -0.1}, "preference -0.1.* outside 0 to 1"),
        (Pairs, {"chosen": "a", "rejected": "b", "preference": NAN}, "preference nan"),
        (Pairs, {"chosen": "a", "rejected": "b", "tie": 2}, "tie 2.* outside 0 to 1"),
        (
            Pairs,
            {"chosen": "a", "rejected": "b", "preference": 0.9, "tie": 0.5},
            "preference 0.9 with the tie 0.5.* half",
        ),
        (Pairs, {"chosen": "a", "rejected": "b", "margin": INF}, "margin inf"),
        (Pairs, {"chosen": "a", "rejected": "b", "margin": "big"}, "'margin' contains 'big'.* not a number"),
        (Pairs, {"chosen": "a", "rejected": "b", "weight": -1}, "weight -1.* outside 0"),
        (Rankings, {"completions": ["a"], "ranks": [1]}, "1 candidates.* at least two"),
        (Rankings, {"completions": [], "ranks": []}, "0 candidates.* at least two"),
        (Rankings, {"completions": ["a", "b"], "ranks": [1, 2, 3]}, "2 completions, 3 ranks"),
        (Rankings, {"completions": ["a", "b"], "ranks": [1, NAN]}, "ranks nan"),
        (Rankings, {"completions": ["a", "b"], "ranks": [1, None]}, "ranks nan"),
        (Rankings, {"completions": ["a", "b"], "ranks": "12"}, "'ranks' is '12'.* not a list"),
        (Rankings, {"completions": ["a", "b"], "ranks": 1}, "'ranks' is 1.* not a list"),
        (Labels, {"completion": "a", "label": None}, "label nan"),
        (Labels, {"completion": "a", "label": "maybe"}, "'label' contains 'maybe'.* not a number"),
        (Steps, {"completions": ["a", "b"], "labels": [True]}, "2 completions, 1 labels"),
        (Steps, {"completions": ["a", "b"], "labels": [True, NAN]}, "labels nan"),
        (Steps, {"completions": ["a", "b"], "labels": [None, -100]}, "0 judged steps.* no items"),
        (Steps, {"completions": [], "labels": []}, "0 steps.* no items"),
        (Votes, {"completions": ["a", "b"], "votes": [0, 0]}, "0 votes.* no preference"),
        (Votes, {"completions": ["a", "b"], "votes": [0, 0], "ties": 0}, "0 votes"),
        (Votes, {"completions": ["a", "b"], "votes": [2, -1]}, "votes_second -1.* outside 0"),
        (Votes, {"completions": ["a", "b"], "votes": [2, None]}, "votes_second nan"),
        (Votes, {"completions": ["a", "b"], "votes": [2, 1], "ties": NAN}, "ties nan"),
        (Votes, {"completions": ["a", "b"], "votes": [2, 1], "ties": "one"}, "'ties' contains 'one'"),
        (Votes, {"completions": ["a", "b"], "votes": [2, 1, 1]}, "3 counts for 2 completions.* between two answers"),
        (Votes, {"completions": ["a", "b", "c"], "votes": [2, 1]}, "2 counts for 3 completions"),
        (Attributes, {"completion": "a", "attributes": [{"good": 0}, {"good": 0}]}, "1 completion, 2 attributes"),
        (Attributes, {"completions": ["a", "b"], "attributes": [{"good": 0}]}, "2 completions, 1 attributes"),
        (Attributes, {"completion": "a", "attributes": 4}, "'attributes' contains 4.* no attribute names"),
    ],
)
def test_a_row_with_invalid_values_is_refused(feedback_type, row, message):
    with pytest.raises(InvalidFeedbackError, match=message) as caught:
        feedback_type.from_row(row)
    assert REMEDY.search(str(caught.value))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pairs(chosen=[0, 1], rejected=[2]), "2 chosen, 1 rejected.* one of each"),
        (lambda: Pairs(chosen=[0], rejected=[1], margin=[1.0, 2.0]), "2 margin"),
        (lambda: Rankings(candidates=[0, 1], ranks=[1], sizes=[2]), "2 candidates, 1 ranks"),
        (lambda: Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[2]), "sizes that add up to 2 for 3 elements"),
        (lambda: Rankings(candidates=[0, 1, 2], ranks=[1, 2, 1], sizes=[2, 1]), "1 candidates.* at least two"),
        (lambda: Ratings(candidates=[0, 1], ratings=[1.0], sizes=[2]), "2 candidates, 1 ratings"),
        (lambda: Ratings(candidates=[0, 1], ratings=[1.0, 2.0], sizes=[1]), "sizes that add up to 1 for 2 elements"),
        (lambda: Labels(candidates=[0], labels=[]), "1 candidates, 0 labels"),
        (lambda: Rankings(candidates=[0, 1], ranks=[1, 2], sizes=[2], grades=[1.0]), "1 grades"),
        (lambda: Steps(steps=[0, 1], values=[1.0]), "2 steps, 1 labels"),
        (lambda: Steps(steps=[0, 1], values=[1.0, 0.0], sizes=[1]), "sizes that add up to 1"),
        (lambda: Steps(steps=[0], values=[1.0], sizes=[0, 1]), "an answer with 0 steps"),
        (lambda: StepwiseRankings([0, 1], [1, 0, 1], [1, 2, 3], [3]), "an answer with 0 steps.* no score"),
        (lambda: StepwiseRankings([0, 1], [1, 1], [1, 2], [1, 1]), "a list of 1 answers.* at least two"),
        (lambda: StepwiseRankings([0, 1], [1, 2], [1, 2], [2]), "sizes that add up to 3 for 2"),
        (lambda: Votes(first=[0], second=[], votes_first=[1], votes_second=[1]), "1 first, 0 second"),
    ],
)
def test_fields_of_different_lengths_are_refused(make, message):
    with pytest.raises(InvalidFeedbackError, match=message) as caught:
        make()
    assert REMEDY.search(str(caught.value))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["prompt", "completions", "labels", "ranks"], "the answers of Rankings and the steps of one answer"),
        (["prompt", "completions", "labels", "votes"], "the answers of Votes and the steps of one answer"),
        (["prompt", "completions", "labels", "ratings"], "the answers of Ratings and the steps of one answer"),
    ],
)
def test_completions_as_both_answers_and_steps_are_refused(columns, message):
    with pytest.raises(FeedbackMismatchError) as caught:
        feedback_types_in_columns(columns)
    assert message in str(caught.value)
    assert "Split the data into two datasets" in str(caught.value)


def test_a_column_that_is_null_in_a_row_is_ignored():
    row = {"completions": ["a", "b"], "labels": [1, 0], "ranks": None, "votes": None}
    assert feedback_types_of_row(row) == (Steps,)
