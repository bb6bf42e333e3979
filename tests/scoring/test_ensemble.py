"""An ensemble is the mean of its members, the worst of them, or the mean less their disagreement."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.scoring.ensemble import Ensemble


def saying(*scores):
    return lambda **_: list(scores)


numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=5)


@given(numbers, st.sampled_from([0.0, 0.5, 2.0]))
def test_each_combination_is_its_formula(scores, weight):
    members = [saying(score) for score in scores]
    mean = sum(scores) / len(scores)
    std = (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5
    for combine, expected in {
        "mean": mean,
        "minimum": min(scores),
        f"mean - {weight} * std": mean - weight * std,
    }.items():
        assert Ensemble(members, combine)([""], [""]) == [pytest.approx(expected, rel=1e-4, abs=1e-3)]


@pytest.mark.parametrize("combine", ["mean", "minimum", "mean - 1 * std"])
def test_a_member_without_an_opinion_is_left_out_and_where_none_has_one_there_is_none(combine):
    members = [saying(2.0, None, None), saying(2.0, 3.0, None)]
    assert Ensemble(members, combine)([""] * 3, [""] * 3) == [2.0, 3.0, None]


def test_disagreement_is_logged():
    logged = {}
    Ensemble([saying(1.0), saying(3.0)])([""], [""], log_metric=logged.__setitem__)
    assert logged == {"ensemble/std": pytest.approx(1.0)}


@pytest.mark.parametrize("combine", ["median", "mean-0.5*std", "mean - x * std", ""])
def test_other_combinations_are_refused(combine):
    with pytest.raises(
        InvalidSettingError, match=r"arrived, which is no way.*Write mean, minimum or mean - 0.5 \* std"
    ):
        Ensemble([saying(1.0)], combine)


def test_an_ensemble_of_nobody_is_refused():
    with pytest.raises(InvalidSettingError, match=r"no reward functions.*Give at least one"):
        Ensemble([])


def test_scores_may_be_tensors():
    assert Ensemble([saying(torch.tensor(1.5))])([""], [""]) == [1.5]
