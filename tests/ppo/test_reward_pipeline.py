"""Scores are standardised, clipped, weighted and whitened in one order."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from rlhf_losses.ppo import PPOConfig
from rlhf_losses.ppo.formulas import here, masked_mean, masked_variance
from rlhf_losses.ppo.reward_pipeline import RewardPipeline
from rlhf_losses.ppo.rewards import PerTokenRewards, reward_at_last_token
from rlhf_losses.ppo.running_mean_std import RunningMeanStd, clip


@st.composite
def batches(draw):
    """Return payments of several rollouts, some of them empty, around a mean that may be large."""
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
def test_the_running_scale_is_mean_and_variance_of_everything_paid(rollouts):
    scale = RunningMeanStd()
    for payments in rollouts:
        scale.see(payments)
    everything = torch.cat([payments.amounts[payments.paid] for payments in rollouts]).double()
    assert scale.count == len(everything)
    if len(everything):
        assert scale.mean == pytest.approx(everything.mean().item(), rel=1e-5, abs=1e-5)
        assert scale.variance == pytest.approx(everything.var(correction=0).item(), rel=1e-3, abs=1e-5)


def test_the_running_scale_of_two_processes_is_that_of_one_with_everything():
    ours, theirs = tensor([1.0, 2.0]), tensor([5.0, 8.0, 20.0])
    both = torch.cat([ours, theirs])
    other = iter([tensor([theirs.sum(), 3.0]), (theirs - both.mean()).square().sum()])
    scale = RunningMeanStd()
    scale.see(PerTokenRewards(ours.unsqueeze(0), torch.ones(1, 2, dtype=torch.bool)), lambda sums: sums + next(other))
    assert scale.mean == pytest.approx(both.mean().item())
    assert scale.variance == pytest.approx(both.var(correction=0).item())


def test_nothing_paid_leaves_the_scale_as_it_was_and_equal_payments_become_zero():
    scale = RunningMeanStd()
    scale.see(PerTokenRewards(torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool)))
    assert (scale.count, scale.variance) == (0.0, 0.0)
    equal = PerTokenRewards(torch.full((1, 2), 3.0), torch.ones(1, 2, dtype=torch.bool))
    scale.see(equal)
    assert_close(scale.standardize(equal).amounts, torch.zeros(1, 2))


def test_clipping_leaves_payments_inside_the_limit_alone():
    payments = PerTokenRewards(tensor([[-7.0, -0.5, 7.0]]), torch.ones(1, 3, dtype=torch.bool))
    assert_close(clip(payments, 5.0).amounts, tensor([[-5.0, -0.5, 5.0]]))


@pytest.fixture
def reward_pipeline(tmp_path):
    def make(functions=1, **changes):
        plain = {"bf16": False, "use_cpu": True, "report_to": "none", "per_device_train_batch_size": 2}
        return RewardPipeline(PPOConfig(str(tmp_path), **plain | changes), functions, here)

    return make


MASK = tensor([[1, 1], [1, 0]])
FINISHED = tensor([True, True])


def test_scores_are_standardised_before_they_are_clipped_and_clipped_before_they_are_weighted(reward_pipeline):
    scores = reward_at_last_token(tensor([0.0, 10.0]), MASK)
    paid = reward_pipeline(score_normalization="running", score_clip=0.5).scores(
        [scores], tensor([4.0]), MASK, FINISHED, learn=True
    )
    assert_close(paid, tensor([[0.0, -0.5 * 4], [0.5 * 4, 0.0]]))


def test_evaluation_does_not_move_the_running_scale(reward_pipeline):
    pipeline = reward_pipeline(score_normalization="running")
    pipeline.scores([reward_at_last_token(tensor([0.0, 10.0]), MASK)], tensor([1.0]), MASK, FINISHED, learn=True)
    before = pipeline.state()
    pipeline.scores([reward_at_last_token(tensor([70.0, 10.0]), MASK)], tensor([1.0]), MASK, FINISHED, learn=False)
    assert pipeline.state() == before


def test_every_reward_function_has_a_scale_of_its_own(reward_pipeline):
    pipeline = reward_pipeline(functions=2, score_normalization="running")
    ones, hundreds = reward_at_last_token(tensor([0.0, 1.0]), MASK), reward_at_last_token(tensor([0.0, 100.0]), MASK)
    paid = pipeline.scores([ones, hundreds], tensor([1.0, 1.0]), MASK, FINISHED, learn=True)
    assert_close(paid, tensor([[0.0, -2.0], [2.0, 0.0]]))


def test_the_missing_eos_is_priced_after_the_normalisation(reward_pipeline):
    pipeline = reward_pipeline(score_normalization="running", missing_eos_penalty=3.0)
    paid = pipeline.scores(
        [reward_at_last_token(tensor([5.0, 5.0]), MASK)], tensor([1.0]), MASK, tensor([True, False]), learn=True
    )
    assert_close(paid, tensor([[0.0, 0.0], [-3.0, 0.0]]))


def test_the_penalty_is_taken_from_every_token_the_policy_wrote(reward_pipeline):
    rewards = reward_pipeline().rewards(tensor([[0.0, 2.0], [1.0, 0.0]]), torch.full((2, 2), 0.25), MASK)
    assert_close(rewards, tensor([[-0.25, 1.75], [0.75, 0.0]]))


@given(seed=st.integers(0, 2**16))
def test_whitened_rewards_keep_their_mean_and_have_variance_one(seed):
    args = PPOConfig("unused", bf16=False, use_cpu=True, report_to="none", whiten_rewards=True)
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(4) < torch.randint(1, 5, (3, 1), generator=generator)
    scores = torch.randn(3, 4, generator=generator)
    rewards = RewardPipeline(args, 1, here).rewards(scores, torch.zeros(3, 4), mask)
    assert_close(masked_mean(rewards, mask), masked_mean(scores, mask), rtol=1e-4, atol=1e-5)
    assert_close(masked_variance(rewards, mask), tensor(1.0), rtol=1e-3, atol=1e-3)
    assert bool((rewards[~mask] == 0).all())


def test_a_restored_payroll_goes_on_where_the_saved_one_was(reward_pipeline):
    one, other = reward_pipeline(score_normalization="running"), reward_pipeline(score_normalization="running")
    scores = [reward_at_last_token(tensor([0.0, 10.0]), MASK)]
    one.scores(scores, tensor([1.0]), MASK, FINISHED, learn=True)
    other.restore(one.state())
    assert other.state() == one.state()
    assert other.scales[0].count == 2
