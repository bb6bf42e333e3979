"""A type that has several sets of columns is read from a set in which a row has all values."""

import pytest

from rlhf_losses.feedback import Attributes, Ratings, StepwiseRankings

ROWS = [
    (Ratings, {"completion": "a", "rating": 2.0}, {"ratings": [1.0, 2.0]}),
    (Ratings, {"completion": "a", "rating": 2.0}, {"completions": ["b"]}),
    (Ratings, {"completions": ["a", "b"], "ratings": [1.0, 2.0]}, {"completion": "c"}),
    (StepwiseRankings, {"chosen_steps": ["a"], "rejected_steps": ["b", "c"]}, {"completion_steps": [["d"]]}),
    (StepwiseRankings, {"chosen_steps": ["a"], "rejected_steps": ["b", "c"]}, {"ranks": [1, 2]}),
    (Attributes, {"completion": "a", "attributes": {"x": 1.0}}, {"completions": None}),
]


@pytest.mark.parametrize(("feedback_type", "row", "other"), ROWS)
def test_columns_of_an_incomplete_set_are_ignored(feedback_type, row, other):
    assert feedback_type.row_fields(row | other) == feedback_type.row_fields(row)
    assert feedback_type.answers(row | other) == feedback_type.answers(row)


def test_the_last_complete_set_counts():
    row = {"completion": "a", "rating": 2.0, "completions": ["b", "c"], "ratings": [3.0, 4.0]}
    assert Ratings.from_row(row).ratings.tolist() == [3.0, 4.0]
