"""The guard before an optimizer step, and checks of weights."""

import math

import pytest
import torch
from torch import nn

from rlhf_losses.errors import NonFiniteError
from rlhf_losses.models.finite import NonFiniteGuard, find_nonfinite, require_finite_weights

NAN, INF = math.nan, math.inf


def parameter(gradient: float) -> nn.Parameter:
    made = nn.Parameter(torch.ones(2))
    made.grad = torch.tensor([1.0, gradient])
    return made


def test_the_norm_is_named_if_all_gradients_are_finite():
    weight = nn.Parameter(torch.ones(1))
    weight.grad = torch.full((1,), 1e30)
    with pytest.raises(NonFiniteError, match="Step 2: the gradients have the norm inf"):
        NonFiniteGuard().before_step(2, INF, [("weight", weight)])


def test_a_step_with_finite_numbers_is_made():
    guard, weight = NonFiniteGuard(), parameter(2.0)
    guard.before_step(1, torch.tensor(3.0), [("weight", weight)])
    assert weight.grad is not None
    assert guard.skipped == 0


@pytest.mark.parametrize("norm", [NAN, INF, torch.tensor(NAN)])
def test_an_infinite_norm_stops_with_the_name_of_a_parameter(norm):
    named = [("first", parameter(1.0)), ("second", parameter(NAN))]
    with pytest.raises(NonFiniteError, match=r"Step 4: the gradient of 'second' \(1 of 2 numbers\).*stops before"):
        NonFiniteGuard().before_step(4, norm, named)


def test_a_recorded_problem_stops_also_if_the_norm_is_finite():
    guard = NonFiniteGuard()
    guard.record("the loss hinge of row 3 is inf")
    guard.record("a later one")
    with pytest.raises(NonFiniteError, match="the loss hinge of row 3 is inf"):
        guard.before_step(1, 1.0, [])
    guard.before_step(2, 1.0, [])  # the problem was that of one step


def test_skipped_steps_change_no_weight_and_are_limited(caplog):
    guard, weight = NonFiniteGuard(skip=2), parameter(1.0)
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.5)
    for step in (1, 2):
        weight.grad = torch.tensor([NAN, 1.0])
        guard.before_step(step, NAN, [("weight", weight)])
        optimizer.step()
    assert weight.tolist() == [1.0, 1.0]
    assert guard.skipped == 2
    assert "Step 2 is skipped (2 of at most 2)" in caplog.text
    with pytest.raises(NonFiniteError, match="after 2 skipped steps"):
        guard.before_step(3, NAN, [("weight", weight)])


def test_a_gradient_scaler_handles_infinite_gradients_and_not_infinite_losses():
    guard = NonFiniteGuard()
    guard.before_step(1, INF, [], scaled=True)
    guard.record("the score of row 0 is nan")
    with pytest.raises(NonFiniteError, match="row 0"):
        guard.before_step(2, INF, [], scaled=True)


def test_all_processes_stop_with_the_problem_of_one_of_them():
    """The other process has the problem; this one sees only the sum and the texts."""
    guard = NonFiniteGuard(0, lambda flag: flag + 1, lambda texts: [*texts, "the score of row 9 is nan"])
    with pytest.raises(NonFiniteError, match="Step 1: the score of row 9 is nan"):
        guard.before_step(1, 1.0, [])


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_weights_that_are_not_finite_are_named(value):
    model = nn.Linear(2, 1)
    require_finite_weights(model, "nothing happens")
    with torch.no_grad():
        model.bias[0] = value
    with pytest.raises(NonFiniteError, match=r"'bias' \(1 of 1 numbers\) are NaN or infinite, so nothing happens"):
        require_finite_weights(model, "nothing happens")
    assert find_nonfinite([("count", torch.tensor([1]))]) is None
