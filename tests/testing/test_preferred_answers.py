"""Who was surely approved of, and who was surely turned down."""

import pytest

from rlhf_losses.feedback import Feedback, Labels, Mixed, Pairs, Rankings, Ratings, Steps, Votes
from rlhf_losses.testing.preferred_answers import verdict


@pytest.mark.parametrize(
    ("feedback", "approved", "turned_down"),
    [
        (Pairs(chosen=[0, 2], rejected=[1, 3]), [0, 2], [1, 3]),
        (Pairs(chosen=[0, 2], rejected=[1, 3], preference=[0.8, 1.0]), [2], [3]),
        (Votes(first=[0, 2], second=[1, 3], votes_first=[0, 2], votes_second=[3, 1]), [1], [0]),
        (Rankings(candidates=[0, 1, 2], ranks=[2, 1, 3], sizes=[3]), [1], [2]),
        (Rankings(candidates=[0, 1, 2, 3, 4], ranks=[1, 1, 2, 2, 1], sizes=[3, 2]), [4], [2, 3]),
        (Ratings(candidates=[0, 1, 2], ratings=[3.0, 5.0, 1.0], sizes=[3]), [1], [2]),
        (Ratings(candidates=[0], ratings=[5.0], sizes=[1]), [], []),
        (Labels(candidates=[0, 1, 2], labels=[1.0, 0.0, 0.4]), [0], [1]),
        (Steps(steps=[0, 1, 2], values=[1.0, -1.0, 0.4]), [0], [1]),
        (Mixed((Pairs(chosen=[0], rejected=[1]), Labels(candidates=[2], labels=[0.0]))), [0], [1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_is_beyond_doubt_counts(feedback, approved, turned_down):
    assert [positions.tolist() for positions in verdict(feedback)] == [approved, turned_down]


def test_feedback_of_an_unknown_kind_has_no_verdict():
    with pytest.raises(NotImplementedError, match="approve of"):
        verdict.dispatch(Feedback)(object())
