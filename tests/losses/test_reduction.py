"""The two averages: over items and over prompts."""

from math import exp, log

import pytest
import torch

from rlhf_losses.feedback import Pairs, Rankings
from rlhf_losses.losses import accumulated_pairs, bradley_terry
from rlhf_losses.losses.reduction import item_weights, weighted_mean

# Three answers to the first prompt make three pairs, two answers to the second make one.
SCORES = torch.tensor([1.0, 3.0, 0.0, 2.0, -1.0], dtype=torch.float64)
RANKINGS = Rankings(candidates=[0, 1, 2, 3, 4], ranks=[1, 2, 3, 1, 2], sizes=[3, 2])
PROMPTS = torch.tensor([0, 0, 0, 1])


def nll(score_difference):
    return -log(1 / (1 + exp(-score_difference)))


COSTS = [nll(1 - 3), nll(1 - 0), nll(3 - 0), nll(2 + 1)]


def mean(over):
    items = bradley_terry.per_item_loss(SCORES, RANKINGS)
    return float(weighted_mean(items, item_weights(PROMPTS, over)))


def test_over_items_every_pair_weighs_the_same():
    assert mean("items") == pytest.approx(sum(COSTS) / 4)


def test_over_prompts_every_prompt_weighs_the_same():
    assert mean("prompts") == pytest.approx((sum(COSTS[:3]) / 3 + COSTS[3]) / 2)


def test_the_two_averages_differ_where_prompts_have_different_numbers_of_pairs():
    assert mean("items") != pytest.approx(mean("prompts"))
    assert item_weights(PROMPTS, "items").tolist() == [1, 1, 1, 1]
    assert item_weights(PROMPTS, "prompts").tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])


def test_the_two_averages_agree_where_prompts_have_one_pair_each():
    prompts = torch.tensor([5, 3, 8])
    assert item_weights(prompts, "prompts").equal(item_weights(prompts, "items"))


def test_accumulated_pairs_is_bradley_terry_averaged_over_prompts():
    assert float(accumulated_pairs(SCORES, RANKINGS)) == pytest.approx(mean("prompts"))


def test_bradley_terry_on_rankings_averages_over_pairs():
    assert float(bradley_terry(SCORES, RANKINGS)) == pytest.approx(mean("items"))


def test_the_order_of_items_changes_no_weight():
    order = torch.tensor([3, 0, 2, 1])
    assert item_weights(PROMPTS[order], "prompts").equal(item_weights(PROMPTS, "prompts")[order])


@pytest.mark.parametrize("over", ["items", "prompts"])
def test_micro_batches_add_up_when_they_share_the_total(over):
    items, weights = bradley_terry.per_item_loss(SCORES, RANKINGS), item_weights(PROMPTS, over)
    whole = weighted_mean(items, weights)
    parts = [weighted_mean(items[[i]], weights[[i]], total=weights.sum()) for i in range(4)]
    assert float(sum(parts)) == pytest.approx(float(whole))


@pytest.mark.parametrize("over", ["items", "prompts"])
def test_no_items_cost_nothing_and_have_gradient_zero(over):
    scores = torch.ones(3, requires_grad=True)
    items = bradley_terry.per_item_loss(scores, Pairs(chosen=[], rejected=[]))
    cost = weighted_mean(items, item_weights(torch.empty(0, dtype=torch.long), over))
    cost.backward()
    assert cost == 0
    assert scores.grad.tolist() == [0, 0, 0]


def test_items_without_weight_cost_nothing():
    assert weighted_mean(torch.tensor([1.0, 2.0]), torch.zeros(2)) == 0


def test_weights_keep_the_type_of_the_items():
    items = torch.tensor([1.0, 3.0], dtype=torch.float64)
    assert weighted_mean(items, torch.ones(2)).dtype == torch.float64
