"""`Ensemble`: mean, minimum or lower bound of the scores of its members."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.scoring import Ensemble


def constant(*scores):
    """Return a reward function with these scores."""
    return lambda **_: list(scores)


numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=5)


@given(numbers, st.sampled_from([0.0, 0.5, 2.0]))
def test_each_combination_is_its_formula(scores, weight):
    members = [constant(score) for score in scores]
    mean = sum(scores) / len(scores)
    std = (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5
    for combine, expected in {
        "mean": mean,
        "minimum": min(scores),
        f"mean - {weight} * std": mean - weight * std,
    }.items():
        assert Ensemble(members, combine)([""], [""]) == [pytest.approx(expected, rel=1e-4, abs=1e-3)]


@pytest.mark.parametrize("combine", ["mean", "minimum", "mean - 1 * std"])
def test_members_without_a_score_are_ignored_and_no_score_gives_none(combine):
    members = [constant(2.0, None, None), constant(2.0, 3.0, None)]
    assert Ensemble(members, combine)([""] * 3, [""] * 3) == [2.0, 3.0, None]


def test_disagreement_is_logged():
    logged = {}
    Ensemble([constant(1.0), constant(3.0)])([""], [""], log_metric=logged.__setitem__)
    assert logged == {"ensemble/std": pytest.approx(1.0)}


@pytest.mark.parametrize("combine", ["median", "mean-0.5*std", "mean - x * std", ""])
def test_other_combinations_are_refused(combine):
    with pytest.raises(InvalidSettingError) as caught:
        Ensemble([constant(1.0)], combine)
    assert f"'{combine}'" in str(caught.value)
    assert "Use mean, minimum or mean - 0.5 * std" in str(caught.value)


def test_an_ensemble_without_members_is_refused():
    with pytest.raises(InvalidSettingError, match=r"no reward functions.*Give at least one"):
        Ensemble([])


def test_scores_may_be_tensors():
    assert Ensemble([constant(torch.tensor(1.5))])([""], [""]) == [1.5]
