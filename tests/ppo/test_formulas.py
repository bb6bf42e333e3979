"""Advantages, returns, whitening and the value loss equal their formulas, for any mask."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from rlhf_losses.ppo.formulas import (
    clipped_value_error,
    ends_with,
    explained_variance,
    generalized_advantages,
    lambda_returns,
    last_token,
    masked_mean,
    masked_variance,
    mean_per_completion,
    whiten,
)


def advantages_by_definition(rewards, values, mask, gamma, lam):
    """Return the discounted sum of the one-step errors of all later tokens, computed with plain numbers."""
    result = torch.zeros_like(rewards)
    for row in range(len(rewards)):
        actions = [t for t in range(rewards.shape[1]) if mask[row, t]]
        later = [*(float(values[row, t]) for t in actions[1:]), 0.0][: len(actions)]
        errors = [
            float(rewards[row, t]) + gamma * v - float(values[row, t]) for t, v in zip(actions, later, strict=True)
        ]
        for start, t in enumerate(actions):
            result[row, t] = sum((gamma * lam) ** step * error for step, error in enumerate(errors[start:]))
    return result


@st.composite
def rollouts(draw):
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    mask = torch.rand(rows, columns, generator=generator) < draw(st.sampled_from([0.0, 0.5, 0.8, 1.0]))
    rewards, values = torch.randn(2, rows, columns, generator=generator, dtype=torch.float64)
    return rewards, values, mask


fractions = st.sampled_from([0.0, 0.3, 0.95, 1.0])


@given(rollouts(), fractions, fractions)
def test_advantages_are_the_discounted_sum_of_one_step_errors(rollout, gamma, lam):
    expected = advantages_by_definition(*rollout, gamma, lam)
    assert_close(generalized_advantages(*rollout, gamma, lam), expected)


@given(rollouts())
def test_lambda_one_gives_the_sum_of_future_rewards(rollout):
    rewards, values, mask = rollout
    advantages = generalized_advantages(rewards, values, mask, gamma=1.0, lam=1.0)
    future = (rewards * mask).flip(1).cumsum(1).flip(1) * mask
    assert_close(lambda_returns(advantages, values, mask), future)


@given(rollouts(), fractions, fractions, st.integers(0, 2**16))
def test_bootstrap_value_equals_one_more_token_with_that_reward(rollout, gamma, lam, seed):
    rewards, values, mask = rollout
    bootstrap_value = torch.randn(len(rewards), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    none, one = torch.zeros(len(rewards), 1, dtype=torch.float64), torch.ones(len(rewards), 1, dtype=torch.bool)
    longer = [
        torch.cat([rewards, none], 1),
        torch.cat([values, bootstrap_value.unsqueeze(1)], 1),
        torch.cat([mask, one], 1),
    ]
    longer[0][:, -1] = bootstrap_value  # so that its own advantage is 0
    expected = generalized_advantages(*longer, gamma, lam)[:, :-1]
    assert_close(generalized_advantages(*rollout, gamma, lam, bootstrap_value), expected)


@given(rollouts())
def test_lambda_zero_gives_the_one_step_error(rollout):
    rewards, values, _ = rollout
    mask = torch.ones_like(values, dtype=torch.bool)
    next_values = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    advantages = generalized_advantages(rewards, values, mask, gamma=0.9, lam=0.0)
    assert_close(advantages, rewards + 0.9 * next_values - values)


@given(rollouts())
def test_values_at_masked_tokens_have_no_effect(rollout):
    rewards, values, mask = rollout
    with_nan = torch.where(mask, rewards, torch.nan), torch.where(mask, values, torch.nan)
    kept = torch.where(mask, rewards, 0.0), torch.where(mask, values, 0.0)
    for function in (
        lambda r, v: generalized_advantages(r, v, mask, 0.99, 0.95),
        lambda r, v: lambda_returns(r, v, mask),
        lambda r, v: whiten(r + v, mask),
        lambda r, v: explained_variance(v, r, mask),
    ):
        assert_close(function(*with_nan), function(*kept), equal_nan=True)


@given(rollouts())
def test_whitened_advantages_have_mean_zero_and_variance_one(rollout):
    advantages, _, mask = rollout
    whitened = whiten(advantages, mask)
    assert bool((whitened[~mask] == 0).all())
    if mask.sum() > 1:
        assert_close(masked_mean(whitened, mask), torch.zeros((), dtype=torch.float64))
        variance = masked_variance(advantages, mask)
        assert_close(masked_variance(whitened, mask), variance / (variance + 1e-8))


def test_advantage_of_a_single_token_is_reward_minus_value():
    advantages = generalized_advantages(tensor([[3.0]]), tensor([[1.0]]), tensor([[1]]), gamma=0.5, lam=0.5)
    assert_close(advantages, tensor([[3.0 - 1.0]]))


def test_single_token_is_whitened_to_zero():
    assert_close(whiten(tensor([[5.0]]), tensor([[1]])), tensor([[0.0]]))


def test_completion_without_tokens_has_no_advantage_and_no_weight():
    values, mask = tensor([[1.0, 2.0], [7.0, 7.0]]), tensor([[1, 1], [0, 0]])
    assert_close(generalized_advantages(values, values, mask, 1.0, 1.0)[1], tensor([0.0, 0.0]))
    assert_close(masked_mean(values, mask), tensor((1.0 + 2.0) / 2))
    assert_close(masked_mean(values, torch.zeros(2, 2)), tensor(0.0))
    assert_close(whiten(values, torch.zeros(2, 2)), torch.zeros(2, 2))


def test_tool_output_does_not_separate_the_tokens_around_it():
    rewards, values = tensor([[0.0, 9.0, 1.0]]), tensor([[0.2, 9.0, 0.6]])
    advantages = generalized_advantages(rewards, values, tensor([[1, 0, 1]]), gamma=1.0, lam=0.5)
    last = 1.0 - 0.6
    assert_close(advantages, tensor([[0.6 - 0.2 + 0.5 * last, 0.0, last]]))


def test_whitening_on_two_processes_equals_whitening_on_one():
    torch.manual_seed(0)
    advantages, mask = torch.randn(6, 5), torch.rand(6, 5) < 0.7
    halves = [(advantages[:3], mask[:3]), (advantages[3:], mask[3:])]

    def on_process(own):
        """Whiten one half, with an all-reduce that adds the sums of the other half."""
        other, other_mask = halves[1 - own]
        mean = masked_mean(advantages, mask)
        other_sums = iter(
            torch.stack([torch.where(other_mask, part, 0.0).sum(), other_mask.sum().float()])
            for part in (other, (other - mean).square())
        )
        return whiten(*halves[own], all_reduce=lambda sums: sums + next(other_sums))

    assert_close(torch.cat([on_process(0), on_process(1)]), whiten(advantages, mask))


def test_explained_variance_is_one_if_perfect_and_zero_if_constant():
    returns, mask = tensor([[1.0, 2.0, 6.0]]), torch.ones(1, 3)
    assert explained_variance(returns, returns, mask) == 1
    assert explained_variance(torch.full((1, 3), 4.0), returns, mask) == 0
    residual, centered = [1.0 - 2.0, 2.0 - 2.0, 6.0 - 2.0 * 2], [1.0, 2.0, 6.0]
    variance = [sum((x - sum(part) / 3) ** 2 for x in part) / 3 for part in (residual, centered)]
    values = tensor([[2.0, 2.0, 4.0]])
    assert explained_variance(values, returns, mask).item() == pytest.approx(1 - variance[0] / variance[1])


def test_explained_variance_of_equal_returns_is_nan():
    assert math.isnan(explained_variance(tensor([[1.0, 0.0]]), tensor([[2.0, 2.0]]), torch.ones(1, 2)))


@given(st.integers(0, 2**16), st.sampled_from([0.0, 0.2, 1.0, 100.0]))
def test_clipped_value_error_is_the_larger_of_two_squares(seed, cliprange):
    generator = torch.Generator().manual_seed(seed)
    new, old, returns = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    errors = clipped_value_error(new, old, returns, cliprange)
    for index in [(row, column) for row in range(2) for column in range(4)]:
        v, v_old, r = (float(tensor[index]) for tensor in (new, old, returns))
        clipped = v_old + max(-cliprange, min(cliprange, v - v_old))
        assert errors[index].item() == pytest.approx(0.5 * max((v - r) ** 2, (clipped - r) ** 2))


def test_value_error_is_half_the_square():
    value, returns = tensor([[0.1]]), tensor([[1.0]])
    assert_close(
        clipped_value_error(value, torch.zeros(1, 1), returns, cliprange=0.2), tensor([[0.5 * (0.1 - 1.0) ** 2]])
    )


def test_value_clipped_towards_its_return_has_no_gradient():
    value = tensor([[0.7]], requires_grad=True)
    error = clipped_value_error(value, torch.zeros(1, 1), tensor([[1.0]]), cliprange=0.2)
    assert_close(error, tensor([[0.5 * (0.2 - 1.0) ** 2]]))
    assert_close(torch.autograd.grad(error.sum(), value)[0], tensor([[0.0]]))


def test_value_moved_away_from_its_return_keeps_its_gradient():
    value = tensor([[-0.7]], requires_grad=True)
    error = clipped_value_error(value, torch.zeros(1, 1), tensor([[1.0]]), cliprange=0.2)
    assert_close(torch.autograd.grad(error.sum(), value)[0], tensor([[-0.7 - 1.0]]))


def test_last_token_is_the_last_one_of_the_policy_not_of_a_tool():
    mask = tensor([[1, 0, 0, 1, 0]])
    assert last_token(mask).tolist() == [[False, False, False, True, False]]


def test_any_end_token_ends_a_completion_if_it_is_last():
    ids = tensor([[7, 3, 0], [2, 7, 0], [7, 7, 2]])
    mask = tensor([[1, 1, 0], [1, 1, 0], [1, 1, 1]])
    assert ends_with(ids, mask, end_token_ids=[2, 3]).tolist() == [True, False, True]


@given(rollouts())
def test_mean_per_completion_is_the_mean_of_sums(rollout):
    values, _, mask = rollout
    expected = sum(float(values[row][mask[row]].sum()) for row in range(len(values))) / len(values)
    assert mean_per_completion(values, mask).item() == pytest.approx(expected)
