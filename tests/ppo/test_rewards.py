"""A score is paid at the last token, or where its function says; completions without EOS pay for that."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nan, tensor
from torch.testing import assert_close

from rlhf_losses.ppo.rewards import (
    apply_missing_eos,
    ended_with,
    last_token,
    reward_at_last_token,
    rewards_from_rows,
    weighted_sum_of_rewards,
)


def test_the_score_is_paid_at_eos_and_never_at_padding():
    finished = tensor([[1, 1, 1, 0, 0]])
    assert_close(reward_at_last_token(tensor([5.0]), finished).amounts, tensor([[0.0, 0.0, 5.0, 0.0, 0.0]]))


def test_a_completion_that_was_cut_off_is_paid_at_its_last_token():
    assert_close(reward_at_last_token(tensor([5.0]), torch.ones(1, 3)).amounts, tensor([[0.0, 0.0, 5.0]]))


def test_after_the_answer_of_a_tool_the_score_is_paid_at_the_last_token_of_the_policy():
    written = tensor([[1, 0, 0, 1, 0]])
    assert last_token(written).tolist() == [[False, False, False, True, False]]


def test_a_completion_without_tokens_is_paid_nothing():
    payments = reward_at_last_token(tensor([5.0]), torch.zeros(1, 3))
    assert_close(payments.amounts, torch.zeros(1, 3))
    assert not payments.paid.any()


def test_a_score_of_zero_is_paid_and_no_opinion_is_not():
    payments = reward_at_last_token(tensor([0.0, nan]), torch.ones(2, 2))
    assert payments.paid.tolist() == [[False, True], [False, False]]
    assert_close(payments.amounts, torch.zeros(2, 2))


def test_payments_by_token_go_where_they_are_told_and_never_to_padding_nor_tools():
    mask = tensor([[1, 1, 1, 0], [1, 0, 1, 1]])
    payments = rewards_from_rows([[nan, 1.0, 2.0], [3.0, 9.0, nan, 4.0]], mask)
    assert_close(payments.amounts, tensor([[0.0, 1.0, 2.0, 0.0], [3.0, 0.0, 0.0, 4.0]]))
    assert payments.paid.tolist() == [[False, True, True, False], [True, False, False, True]]


def test_reward_functions_are_weighted_and_those_without_an_opinion_left_out():
    mask = torch.ones(3, 1)
    payments = [
        reward_at_last_token(tensor([1.0, nan, nan]), mask),
        reward_at_last_token(tensor([10.0, 10.0, nan]), mask),
    ]
    expected = tensor([[2.0 * 1.0 + 0.5 * 10.0], [0.5 * 10.0], [0.0]])
    assert_close(weighted_sum_of_rewards(payments, tensor([2.0, 0.5])), expected)


@given(st.integers(0, 2**16))
def test_payments_add_up_to_the_weighted_scores_of_the_completions_that_have_tokens(seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(5) < torch.randint(0, 6, (4, 1), generator=generator)
    scores = torch.randn(3, 4, generator=generator)
    weights = torch.randn(3, generator=generator)
    rewards = weighted_sum_of_rewards([reward_at_last_token(one, mask) for one in scores], weights)
    assert_close(rewards.sum(1), torch.where(mask.any(1), weights @ scores, 0.0))
    assert bool((rewards[~last_token(mask)] == 0).all())


ROWS = tensor([[0.5, 2.0, 0.0], [0.5, 2.0, 0.0]])
MASK = tensor([[1, 1, 0], [1, 1, 0]])
FINISHED = tensor([True, False])


def test_the_penalty_for_a_missing_eos_is_taken_from_the_last_token():
    expected = tensor([[0.5, 2.0, 0.0], [0.5, 2.0 - 1.5, 0.0]])
    assert_close(apply_missing_eos(ROWS, MASK, FINISHED, penalty=1.5, score=None), expected)


def test_the_score_for_a_missing_eos_replaces_everything_that_was_paid():
    expected = tensor([[0.5, 2.0, 0.0], [0.0, -1.0, 0.0]])
    assert_close(apply_missing_eos(ROWS, MASK, FINISHED, penalty=None, score=-1.0), expected)


def test_without_either_nothing_changes():
    assert_close(apply_missing_eos(ROWS, MASK, FINISHED, penalty=None, score=None), ROWS)


def test_an_empty_completion_did_not_end_and_pays_nothing():
    nothing = torch.zeros(1, 2)
    assert not ended_with(tensor([[0, 0]]), nothing, ends=[2]).any()
    assert_close(apply_missing_eos(nothing, nothing, tensor([False]), penalty=1.0, score=None), nothing)


def test_any_of_several_tokens_ends_a_completion_but_only_as_the_last_one():
    ids = tensor([[7, 3, 0], [2, 7, 0], [7, 7, 2]])
    mask = tensor([[1, 1, 0], [1, 1, 0], [1, 1, 1]])
    assert ended_with(ids, mask, ends=[2, 3]).tolist() == [True, False, True]
