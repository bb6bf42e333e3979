"""Advantages are the sums that the papers write, whatever the mask."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from rlhf_losses.ppo.formulas import (
    explained_variance,
    generalized_advantages,
    lambda_returns,
    masked_mean,
    masked_variance,
    whiten,
)


def advantages_by_definition(rewards, values, mask, gamma, lam):
    """WeightedSum the discounted one-step errors of every later token, token by token, over plain numbers."""
    result = torch.zeros_like(rewards)
    for row in range(len(rewards)):
        written = [t for t in range(rewards.shape[1]) if mask[row, t]]
        later = [*(float(values[row, t]) for t in written[1:]), 0.0][: len(written)]
        errors = [
            float(rewards[row, t]) + gamma * v - float(values[row, t]) for t, v in zip(written, later, strict=True)
        ]
        for start, t in enumerate(written):
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
def test_with_lambda_one_the_return_is_the_sum_of_the_rewards_still_to_come(rollout):
    rewards, values, mask = rollout
    advantages = generalized_advantages(rewards, values, mask, gamma=1.0, lam=1.0)
    to_come = (rewards * mask).flip(1).cumsum(1).flip(1) * mask
    assert_close(lambda_returns(advantages, values, mask), to_come)


@given(rollouts(), fractions, fractions, st.integers(0, 2**16))
def test_a_value_beyond_the_end_counts_as_one_more_token_that_pays_it(rollout, gamma, lam, seed):
    rewards, values, mask = rollout
    beyond = torch.randn(len(rewards), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    none, one = torch.zeros(len(rewards), 1, dtype=torch.float64), torch.ones(len(rewards), 1, dtype=torch.bool)
    longer = [torch.cat([rewards, none], 1), torch.cat([values, beyond.unsqueeze(1)], 1), torch.cat([mask, one], 1)]
    longer[0][:, -1] = beyond  # so that its own advantage is 0
    expected = generalized_advantages(*longer, gamma, lam)[:, :-1]
    assert_close(generalized_advantages(*rollout, gamma, lam, beyond), expected)


@given(rollouts())
def test_with_lambda_zero_the_advantage_is_the_one_step_error(rollout):
    rewards, values, _ = rollout
    mask = torch.ones_like(values, dtype=torch.bool)
    next_values = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    advantages = generalized_advantages(rewards, values, mask, gamma=0.9, lam=0.0)
    assert_close(advantages, rewards + 0.9 * next_values - values)


@given(rollouts())
def test_what_stands_at_masked_tokens_never_matters(rollout):
    rewards, values, mask = rollout
    spoilt = torch.where(mask, rewards, torch.nan), torch.where(mask, values, torch.nan)
    kept = torch.where(mask, rewards, 0.0), torch.where(mask, values, 0.0)
    for function in (
        lambda r, v: generalized_advantages(r, v, mask, 0.99, 0.95),
        lambda r, v: lambda_returns(r, v, mask),
        lambda r, v: whiten(r + v, mask),
        lambda r, v: explained_variance(v, r, mask),
    ):
        assert_close(function(*spoilt), function(*kept), equal_nan=True)


@given(rollouts())
def test_whitened_advantages_have_mean_zero_and_variance_one(rollout):
    advantages, _, mask = rollout
    whitened = whiten(advantages, mask)
    assert bool((whitened[~mask] == 0).all())
    if mask.sum() > 1:
        assert_close(masked_mean(whitened, mask), torch.zeros((), dtype=torch.float64))
        variance = masked_variance(advantages, mask)
        assert_close(masked_variance(whitened, mask), variance / (variance + 1e-8))


def test_the_advantage_of_a_single_token_is_its_reward_minus_its_value():
    advantages = generalized_advantages(tensor([[3.0]]), tensor([[1.0]]), tensor([[1]]), gamma=0.5, lam=0.5)
    assert_close(advantages, tensor([[3.0 - 1.0]]))


def test_a_single_token_whitens_to_zero():
    assert_close(whiten(tensor([[5.0]]), tensor([[1]])), tensor([[0.0]]))


def test_a_completion_without_tokens_has_no_advantage_and_no_share_in_the_mean():
    values, mask = tensor([[1.0, 2.0], [7.0, 7.0]]), tensor([[1, 1], [0, 0]])
    assert_close(generalized_advantages(values, values, mask, 1.0, 1.0)[1], tensor([0.0, 0.0]))
    assert_close(masked_mean(values, mask), tensor((1.0 + 2.0) / 2))
    assert_close(masked_mean(values, torch.zeros(2, 2)), tensor(0.0))
    assert_close(whiten(values, torch.zeros(2, 2)), torch.zeros(2, 2))


def test_the_answer_of_a_tool_does_not_separate_the_tokens_around_it():
    rewards, values = tensor([[0.0, 9.0, 1.0]]), tensor([[0.2, 9.0, 0.6]])
    advantages = generalized_advantages(rewards, values, tensor([[1, 0, 1]]), gamma=1.0, lam=0.5)
    last = 1.0 - 0.6
    assert_close(advantages, tensor([[0.6 - 0.2 + 0.5 * last, 0.0, last]]))


def test_whitening_two_halves_with_a_common_total_equals_whitening_the_whole():
    torch.manual_seed(0)
    advantages, mask = torch.randn(6, 5), torch.rand(6, 5) < 0.7
    halves = [(advantages[:3], mask[:3]), (advantages[3:], mask[3:])]

    def on_process(own):
        """Whiten one half, with totals that add what the other half contributes."""
        other, other_mask = halves[1 - own]
        mean = masked_mean(advantages, mask)
        contributions = iter(
            torch.stack([torch.where(other_mask, part, 0.0).sum(), other_mask.sum().float()])
            for part in (other, (other - mean).square())
        )
        return whiten(*halves[own], total=lambda sums: sums + next(contributions))

    assert_close(torch.cat([on_process(0), on_process(1)]), whiten(advantages, mask))


def test_a_perfect_critic_explains_everything_and_a_constant_one_nothing():
    returns, everywhere = tensor([[1.0, 2.0, 6.0]]), torch.ones(1, 3)
    assert explained_variance(returns, returns, everywhere) == 1
    assert explained_variance(torch.full((1, 3), 4.0), returns, everywhere) == 0
    residual, spread = [1.0 - 2.0, 2.0 - 2.0, 6.0 - 2.0 * 2], [1.0, 2.0, 6.0]
    variance = [sum((x - sum(part) / 3) ** 2 for x in part) / 3 for part in (residual, spread)]
    values = tensor([[2.0, 2.0, 4.0]])
    assert explained_variance(values, returns, everywhere).item() == pytest.approx(1 - variance[0] / variance[1])


def test_equal_returns_have_no_variance_to_explain():
    assert math.isnan(explained_variance(tensor([[1.0, 0.0]]), tensor([[2.0, 2.0]]), torch.ones(1, 2)))
