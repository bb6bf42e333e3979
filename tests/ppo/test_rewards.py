"""Every token pays the KL penalty, and the last one earns the score."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nan, tensor
from torch.testing import assert_close

from rlhf_losses.ppo.rewards import last_token, log_ratio_to_reference, token_rewards, weighted_scores


def test_the_score_is_paid_at_eos_and_never_at_padding():
    finished = tensor([[1, 1, 1, 0, 0]])
    rewards = token_rewards(tensor([5.0]), torch.zeros(1, 5), finished, beta=0.1)
    assert_close(rewards, tensor([[0.0, 0.0, 5.0, 0.0, 0.0]]))


def test_a_completion_that_was_cut_off_is_paid_at_its_last_token():
    rewards = token_rewards(tensor([5.0]), torch.zeros(1, 3), torch.ones(1, 3), beta=0.1)
    assert_close(rewards, tensor([[0.0, 0.0, 5.0]]))


def test_after_the_answer_of_a_tool_the_score_is_paid_at_the_last_token_of_the_policy():
    written = tensor([[1, 0, 0, 1, 0]])
    assert last_token(written).tolist() == [[False, False, False, True, False]]


def test_a_completion_without_tokens_is_paid_nothing():
    rewards = token_rewards(tensor([5.0]), torch.ones(1, 3), torch.zeros(1, 3), beta=0.1)
    assert_close(rewards, torch.zeros(1, 3))


def test_a_completion_that_no_reward_function_knows_is_paid_its_penalty_only():
    log_ratios = tensor([[0.5, -1.0]])
    rewards = token_rewards(tensor([nan]), log_ratios, torch.ones(1, 2), beta=0.1)
    assert_close(rewards, -0.1 * log_ratios)


def test_without_a_penalty_only_the_score_is_paid():
    rewards = token_rewards(tensor([2.0]), tensor([[3.0, 4.0]]), torch.ones(1, 2), beta=0.0)
    assert_close(rewards, tensor([[0.0, 2.0]]))


@given(st.integers(0, 2**16), st.sampled_from([0.0, 0.05, 1.0]))
def test_the_rewards_of_a_completion_sum_to_its_score_minus_its_penalty(seed, beta):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 6, (4,), generator=generator)
    mask = torch.arange(5) < lengths.unsqueeze(1)
    scores = torch.randn(4, generator=generator)
    policy, reference = torch.randn(2, 4, 5, generator=generator)
    log_ratios = log_ratio_to_reference(policy, reference, mask)
    rewards = token_rewards(scores, log_ratios, mask, beta)
    kl = torch.stack([(policy - reference)[row, :length].sum() for row, length in enumerate(lengths)])
    assert_close(rewards.sum(1), scores - beta * kl)
    assert bool((rewards[~mask] == 0).all())


def test_log_ratios_of_bfloat16_log_probabilities_are_float32():
    halves = tensor([[-1.0]], dtype=torch.bfloat16)
    assert log_ratio_to_reference(halves, halves, tensor([[1]])).dtype == torch.float32


def test_reward_functions_are_weighted_and_those_without_an_opinion_left_out():
    scores = tensor([[1.0, 10.0], [nan, 10.0], [nan, nan]])
    weighted = weighted_scores(scores, tensor([2.0, 0.5]))
    assert_close(weighted, tensor([2.0 * 1.0 + 0.5 * 10.0, 0.5 * 10.0, nan]), equal_nan=True)
