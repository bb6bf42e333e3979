"""Averages over items and over prompts."""

from math import exp, log

import pytest
import torch

from rlhf_losses.feedback import Pairs, Rankings
from rlhf_losses.losses import accumulated_pairs, bradley_terry
from rlhf_losses.losses.reduction import item_weights, weighted_mean

# The three answers to the first prompt form three pairs, and the two answers to the second prompt form one.
SCORES = torch.tensor([1.0, 3.0, 0.0, 2.0, -1.0], dtype=torch.float64)
RANKINGS = Rankings(candidates=[0, 1, 2, 3, 4], ranks=[1, 2, 3, 1, 2], sizes=[3, 2])
PROMPTS = torch.tensor([0, 0, 0, 1])


def nll(score_difference):
    return -log(1 / (1 + exp(-score_difference)))


LOSSES = [nll(1 - 3), nll(1 - 0), nll(3 - 0), nll(2 + 1)]


def mean(over):
    values = bradley_terry.per_item_loss(SCORES, RANKINGS)
    return float(weighted_mean(values, item_weights(PROMPTS, over)))


def test_over_items_each_pair_has_the_same_weight():
    assert mean("items") == pytest.approx(sum(LOSSES) / 4)


def test_over_prompts_each_prompt_has_the_same_weight():
    assert mean("prompts") == pytest.approx((sum(LOSSES[:3]) / 3 + LOSSES[3]) / 2)


def test_the_averages_differ_if_prompts_have_different_numbers_of_pairs():
    assert mean("items") != pytest.approx(mean("prompts"))
    assert item_weights(PROMPTS, "items").tolist() == [1, 1, 1, 1]
    assert item_weights(PROMPTS, "prompts").tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])


def test_the_averages_agree_if_each_prompt_has_one_pair():
    prompts = torch.tensor([5, 3, 8])
    assert item_weights(prompts, "prompts").equal(item_weights(prompts, "items"))


def test_accumulated_pairs_is_bradley_terry_averaged_over_prompts():
    assert float(accumulated_pairs(SCORES, RANKINGS)) == pytest.approx(mean("prompts"))


def test_bradley_terry_on_rankings_averages_over_pairs():
    assert float(bradley_terry(SCORES, RANKINGS)) == pytest.approx(mean("items"))


def test_weights_do_not_depend_on_the_order_of_items():
    order = torch.tensor([3, 0, 2, 1])
    assert item_weights(PROMPTS[order], "prompts").equal(item_weights(PROMPTS, "prompts")[order])


@pytest.mark.parametrize("over", ["items", "prompts"])
def test_micro_batches_with_the_same_total_add_up(over):
    values, weights = bradley_terry.per_item_loss(SCORES, RANKINGS), item_weights(PROMPTS, over)
    whole = weighted_mean(values, weights)
    parts = [weighted_mean(values[[i]], weights[[i]], total=weights.sum()) for i in range(4)]
    assert float(sum(parts)) == pytest.approx(float(whole))


@pytest.mark.parametrize("over", ["items", "prompts"])
def test_no_items_have_loss_0_and_gradient_0(over):
    scores = torch.ones(3, requires_grad=True)
    values = bradley_terry.per_item_loss(scores, Pairs(chosen=[], rejected=[]))
    loss = weighted_mean(values, item_weights(torch.empty(0, dtype=torch.long), over))
    loss.backward()
    assert loss == 0
    assert scores.grad.tolist() == [0, 0, 0]


def test_items_of_weight_0_have_loss_0():
    assert weighted_mean(torch.tensor([1.0, 2.0]), torch.zeros(2)) == 0


def test_the_mean_has_the_dtype_of_the_values():
    values = torch.tensor([1.0, 3.0], dtype=torch.float64)
    assert weighted_mean(values, torch.ones(2)).dtype == torch.float64
