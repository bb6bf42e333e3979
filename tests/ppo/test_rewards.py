"""Scores become rewards of tokens: placed, standardized, clipped, weighted, penalized and whitened in this order."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nan, tensor
from torch.testing import assert_close

from rlhf_losses.ppo.formulas import (
    ends_with,
    generalized_advantages,
    lambda_returns,
    last_token,
    masked_mean,
    masked_variance,
)
from rlhf_losses.ppo.rewards import (
    PerTokenRewards,
    RawRewards,
    RewardPipeline,
    RunningMeanStd,
    apply_missing_eos,
    clip_rewards,
    reward_at_last_token,
    rewards_from_rows,
    weighted_sum_of_rewards,
)
from rlhf_losses.ppo.rollout import Rollout

# Placement


def test_score_is_placed_at_eos_not_at_padding():
    mask = tensor([[1, 1, 1, 0, 0]])
    assert_close(reward_at_last_token(tensor([5.0]), mask).values, tensor([[0.0, 0.0, 5.0, 0.0, 0.0]]))


def test_score_of_a_truncated_completion_is_at_its_last_token():
    assert_close(reward_at_last_token(tensor([5.0]), torch.ones(1, 3)).values, tensor([[0.0, 0.0, 5.0]]))


def test_completion_without_tokens_has_no_reward():
    rewards = reward_at_last_token(tensor([5.0]), torch.zeros(1, 3))
    assert_close(rewards.values, torch.zeros(1, 3))
    assert not rewards.assigned.any()


def test_score_of_zero_is_assigned_and_nan_is_not():
    rewards = reward_at_last_token(tensor([0.0, nan]), torch.ones(2, 2))
    assert rewards.assigned.tolist() == [[False, True], [False, False]]
    assert_close(rewards.values, torch.zeros(2, 2))


def test_token_rewards_are_ignored_at_padding_and_tool_output():
    mask = tensor([[1, 1, 1, 0], [1, 0, 1, 1]])
    rewards = rewards_from_rows([[nan, 1.0, 2.0], [3.0, 9.0, nan, 4.0]], mask)
    assert_close(rewards.values, tensor([[0.0, 1.0, 2.0, 0.0], [3.0, 0.0, 0.0, 4.0]]))
    assert rewards.assigned.tolist() == [[False, True, True, False], [True, False, False, True]]


def test_weighted_sum_skips_functions_that_return_none():
    mask = torch.ones(3, 1)
    rewards = [
        reward_at_last_token(tensor([1.0, nan, nan]), mask),
        reward_at_last_token(tensor([10.0, 10.0, nan]), mask),
    ]
    expected = tensor([[2.0 * 1.0 + 0.5 * 10.0], [0.5 * 10.0], [0.0]])
    assert_close(weighted_sum_of_rewards(rewards, tensor([2.0, 0.5])).values, expected)


@given(st.integers(0, 2**16))
def test_rewards_add_up_to_the_weighted_scores(seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(5) < torch.randint(0, 6, (4, 1), generator=generator)
    scores = torch.randn(3, 4, generator=generator)
    weights = torch.randn(3, generator=generator)
    rewards = weighted_sum_of_rewards([reward_at_last_token(one, mask) for one in scores], weights).values
    assert_close(rewards.sum(1), torch.where(mask.any(1), weights @ scores, 0.0))
    assert bool((rewards[~last_token(mask)] == 0).all())


def test_token_rewards_replace_the_score_of_their_function():
    mask = tensor([[1, 1, 1], [1, 1, 0]])
    raw = RawRewards(tensor([[6.0, 1.0], [4.0, nan]]), [[[1.0, nan, 5.0], [nan, 4.0]], None])
    by_token, by_score = raw.place(mask)
    assert_close(by_token.values, tensor([[1.0, 0.0, 5.0], [0.0, 4.0, 0.0]]))
    assert_close(by_score.values, tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))


# Missing EOS


ROWS = tensor([[0.5, 2.0, 0.0], [0.5, 2.0, 0.0]])
MASK = tensor([[1, 1, 0], [1, 1, 0]])
ENDED = tensor([True, False])


def test_missing_eos_penalty_is_subtracted_at_the_last_token():
    expected = tensor([[0.5, 2.0, 0.0], [0.5, 2.0 - 1.5, 0.0]])
    assert_close(apply_missing_eos(ROWS, MASK, ENDED, penalty=1.5, score=None), expected)


def test_missing_eos_score_replaces_all_rewards():
    expected = tensor([[0.5, 2.0, 0.0], [0.0, -1.0, 0.0]])
    assert_close(apply_missing_eos(ROWS, MASK, ENDED, penalty=None, score=-1.0), expected)


def test_without_missing_eos_settings_nothing_changes():
    assert_close(apply_missing_eos(ROWS, MASK, ENDED, penalty=None, score=None), ROWS)


def test_empty_completion_has_not_ended_and_no_penalty():
    nothing = torch.zeros(1, 2)
    assert not ends_with(tensor([[0, 0]]), nothing, end_token_ids=[2]).any()
    assert_close(apply_missing_eos(nothing, nothing, tensor([False]), penalty=1.0, score=None), nothing)


# Running normalization and clipping


@st.composite
def batches(draw):
    """Return rewards of several rollouts, some of them empty, around a mean that may be large."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    shift = draw(st.sampled_from([0.0, 1.0, 1000.0]))
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    return [
        PerTokenRewards(
            torch.randn(size, 3, generator=generator) + shift, torch.rand(size, 3, generator=generator) < 0.6
        )
        for size in sizes
    ]


@given(batches())
def test_running_statistics_equal_those_of_all_rewards(rollouts):
    stats = RunningMeanStd()
    for rewards in rollouts:
        stats.update(rewards)
    everything = torch.cat([one.values.sum(1)[one.assigned.any(1)] for one in rollouts]).double()
    assert stats.count == len(everything)
    if len(everything):
        assert stats.mean == pytest.approx(everything.mean().item(), rel=1e-5, abs=1e-5)
        assert stats.variance == pytest.approx(everything.var(correction=0).item(), rel=1e-3, abs=1e-5)


def test_running_statistics_on_two_processes_equal_those_on_one():
    ours, theirs = tensor([1.0, 2.0]), tensor([5.0, 8.0, 20.0])
    both = torch.cat([ours, theirs])
    other = iter([tensor([theirs.sum(), 3.0]), (theirs - both.mean()).square().sum()])
    stats = RunningMeanStd()
    stats.update(
        PerTokenRewards(ours.unsqueeze(1), torch.ones(2, 1, dtype=torch.bool)), lambda sums: sums + next(other)
    )
    assert stats.mean == pytest.approx(both.mean().item())
    assert stats.variance == pytest.approx(both.var(correction=0).item())


def test_empty_batches_change_nothing_and_equal_rewards_become_zero():
    stats = RunningMeanStd()
    stats.update(PerTokenRewards(torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool)))
    assert (stats.count, stats.variance) == (0.0, 0.0)
    equal = PerTokenRewards(torch.full((1, 2), 3.0), torch.ones(1, 2, dtype=torch.bool))
    stats.update(equal)
    assert_close(stats.standardize(equal, torch.ones(1, 2)).values.sum(1), torch.zeros(1))


def test_clipping_changes_only_rewards_beyond_the_limit():
    rewards = PerTokenRewards(tensor([[-7.0, -0.5, 7.0]]), torch.ones(1, 3, dtype=torch.bool))
    assert_close(clip_rewards(rewards, 5.0).values, tensor([[-5.0, -0.5, 5.0]]))


# The pipeline

EOS = 2
SHORT = tensor([[1, 1], [1, 0]])


def rollout(mask, ended=None):
    """Return a rollout with completions of these masks, which end with EOS by default."""
    ends = last_token(mask) & tensor([True] * len(mask) if ended is None else ended).unsqueeze(1)
    return Rollout.view({"completion_ids": torch.where(ends, EOS, 7), "completion_mask": mask}, [EOS])


def scores(*per_function):
    """Return raw rewards from the scores of each reward function."""
    return RawRewards(tensor(per_function).T, [None] * len(per_function))


def returns(pipeline, raw, completions):
    """Return undiscounted returns without a critic and a KL penalty."""
    mask = completions.action_mask
    zeros = torch.zeros(mask.shape)
    rewards = pipeline.subtract_penalty(pipeline.process(raw, completions), zeros, completions)
    return lambda_returns(generalized_advantages(rewards, zeros, mask, gamma=1.0, lam=1.0), zeros, mask)


def test_each_reward_function_is_standardized_then_clipped_then_weighted():
    pipeline = RewardPipeline(tensor([4.0]), standardized="each", score_clip=0.5)
    rewards = pipeline.process(scores([0.0, 10.0]), rollout(SHORT))
    assert_close(rewards.values, tensor([[0.0, -0.5 * 4], [0.5 * 4, 0.0]]))
    assert rewards.assigned.tolist() == [[False, True], [True, False]]


def test_the_weighted_sum_is_standardized_then_clipped():
    pipeline = RewardPipeline(tensor([4.0, 1.0]), standardized="sum", score_clip=0.5)
    completions = rollout(SHORT)
    rewards = pipeline.process(scores([0.0, 10.0], [3.0, 7.0]), completions)
    assert_close(rewards.values, tensor([[0.0, -0.5], [0.5, 0.0]]))
    mean, spread = (3.0 + 47.0) / 2, (47.0 - 3.0) / 2
    assert pipeline.unit == spread
    assert_close(pipeline.in_units_of_scores(rewards, completions).values.sum(1), mean + spread * tensor([-0.5, 0.5]))


def test_rewards_of_steps_are_standardized_by_their_sum():
    mask = torch.ones(2, 3)
    rows = [[1.0, 2.0, 5.0], [nan, 4.0, 0.0]]
    completions = rollout(mask.long())
    pipeline = RewardPipeline(tensor([1.0]), standardized="sum")
    rewards = pipeline.process(RawRewards(tensor([[8.0], [4.0]]), [rows]), completions)
    mean, spread = 6.0, 2.0
    assert_close(rewards.values, (tensor([[1.0, 2.0, 5.0], [0.0, 4.0, 0.0]]) - mean * tensor([0.0, 0.0, 1.0])) / spread)
    assert_close(pipeline.in_units_of_scores(rewards, completions).values, tensor(rows).nan_to_num(0.0))


def test_evaluation_does_not_update_running_statistics():
    pipeline = RewardPipeline(tensor([1.0]), standardized="sum")
    pipeline.process(scores([0.0, 10.0]), rollout(SHORT))
    before = pipeline.state_dict()
    pipeline.process(scores([70.0, 10.0]), rollout(SHORT), update_stats=False)
    assert pipeline.state_dict() == before


def test_each_reward_function_has_its_own_statistics():
    pipeline = RewardPipeline(tensor([1.0, 1.0]), standardized="each")
    rewards = pipeline.process(scores([0.0, 1.0], [0.0, 100.0]), rollout(SHORT))
    assert_close(rewards.values, tensor([[0.0, -2.0], [2.0, 0.0]]))


@given(seed=st.integers(0, 2**16))
def test_running_normalization_removes_scale_and_offset(seed):
    generator = torch.Generator().manual_seed(seed)
    plain, large = (RewardPipeline(tensor([1.0]), standardized="sum") for _ in range(2))
    for number in range(3):
        mask = torch.arange(4) < torch.randint(1, 5, (8, 1), generator=generator)
        raw = torch.rand(8, 1, generator=generator)
        expected = plain.process(RawRewards(raw, [None]), rollout(mask)).values
        assert_close(
            large.process(RawRewards(1000 + 50 * raw, [None]), rollout(mask)).values, expected, rtol=0, atol=1e-2
        )
        if number == 0:
            assert expected.sum().item() == pytest.approx(0, abs=1e-4)


def test_pipeline_adds_reward_functions_with_their_weights():
    pipeline = RewardPipeline(tensor([2.0, 0.25]))
    rewards = pipeline.process(scores([0.5, 0.75], [2.0, 1.0]), rollout(SHORT))
    assert_close(rewards.values.sum(1), tensor([2.0 * 0.5 + 0.25 * 2.0, 2.0 * 0.75 + 0.25 * 1.0]))


def test_completion_without_scores_has_the_kl_penalty_only():
    pipeline, completions = RewardPipeline(tensor([1.0])), rollout(SHORT)
    rewards = pipeline.process(scores([nan, nan]), completions)
    assert not rewards.assigned.any()
    penalty = 0.5 * torch.ones(2, 2)
    assert_close(pipeline.subtract_penalty(rewards, penalty, completions), torch.where(SHORT.bool(), -penalty, 0.0))


def test_missing_eos_penalty_is_in_units_of_the_scores():
    scale, penalized = 2.0, (7.0, 4.0 - 3.0)
    mean, spread = sum(penalized) / 2, (penalized[0] - penalized[1]) / 2
    for weight in (1.0, scale):
        pipeline = RewardPipeline(tensor([weight]), standardized="sum", missing_eos_penalty=3.0 * weight)
        completions = rollout(SHORT, ended=[True, False])
        rewards = pipeline.process(scores([7.0, 4.0]), completions)
        assert_close(rewards.values.sum(1), (tensor(penalized) - mean) / spread)
        assert_close(pipeline.in_units_of_scores(rewards, completions).values.sum(1), weight * tensor(penalized))


def test_completions_without_eos_are_penalized_or_rescored():
    completions = rollout(torch.arange(13) < tensor([[13], [7]]), ended=[True, False])
    raw = scores([13.0, 7.0])
    assert returns(RewardPipeline(tensor([1.0])), raw, completions)[:, 0].tolist() == [13.0, 7.0]
    penalized = RewardPipeline(tensor([1.0]), missing_eos_penalty=2.5)
    assert returns(penalized, raw, completions)[:, 0].tolist() == [13.0, 7.0 - 2.5]
    rescored = RewardPipeline(tensor([1.0]), missing_eos_score=-1.0)
    assert returns(rescored, raw, completions)[:, 0].tolist() == [13.0, -1.0]


def test_rewards_of_every_token_add_up_in_the_returns():
    mask = torch.arange(5) < tensor([[5], [3]])
    raw = RawRewards(tensor([[5.0], [3.0]]), [[[1.0] * 5, [1.0] * 3]])
    future = mask.flip(1).cumsum(1).flip(1).float()
    assert_close(returns(RewardPipeline(tensor([1.0])), raw, rollout(mask)), torch.where(mask, future, 0.0))


def test_kl_penalty_is_subtracted_at_every_token_of_the_policy():
    rewards = PerTokenRewards(tensor([[0.0, 2.0], [1.0, 0.0]]), SHORT.bool())
    penalized = RewardPipeline(tensor([1.0])).subtract_penalty(rewards, torch.full((2, 2), 0.25), rollout(SHORT))
    assert_close(penalized, tensor([[-0.25, 1.75], [0.75, 0.0]]))


@given(seed=st.integers(0, 2**16))
def test_whitened_rewards_keep_their_mean_and_have_variance_one(seed):
    pipeline = RewardPipeline(tensor([1.0]), whiten_rewards=True)
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(4) < torch.randint(1, 5, (3, 1), generator=generator)
    values = torch.randn(3, 4, generator=generator)
    rewards = pipeline.subtract_penalty(PerTokenRewards(values, mask), torch.zeros(3, 4), rollout(mask))
    assert_close(masked_mean(rewards, mask), masked_mean(values, mask), rtol=1e-4, atol=1e-5)
    assert_close(masked_variance(rewards, mask), tensor(1.0), rtol=1e-3, atol=1e-3)
    assert bool((rewards[~mask] == 0).all())


def test_restored_pipeline_has_the_saved_statistics():
    saved, restored = (RewardPipeline(tensor([1.0]), standardized="sum") for _ in range(2))
    saved.process(scores([0.0, 10.0]), rollout(SHORT))
    restored.load_state_dict(saved.state_dict())
    assert restored.state_dict() == saved.state_dict()
    assert restored.stats[0].count == 2
