"""The answers that are certainly preferred, and those that are certainly rejected."""

import pytest

from rlhf_losses.feedback import Feedback, Labels, Mixed, Pairs, Rankings, Ratings, Steps, Votes
from rlhf_losses.testing.preferred_answers import preferred_and_rejected


@pytest.mark.parametrize(
    ("feedback", "preferred", "rejected"),
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
def test_only_certain_preferences_count(feedback, preferred, rejected):
    assert [positions.tolist() for positions in preferred_and_rejected(feedback)] == [preferred, rejected]


def test_an_unknown_feedback_type_is_refused():
    with pytest.raises(NotImplementedError, match=r"not defined.*register"):
        preferred_and_rejected.dispatch(Feedback)(object())
