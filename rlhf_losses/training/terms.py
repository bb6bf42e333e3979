"""The terms of a loss on one batch: what each item costs, and what it weighs in the mean.

A mean over an optimizer step is exact only if every micro-batch divides by the weights of the whole
step. `step_totals` sums these weights before the first forward pass: they do not depend on scores.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rlhf_losses.data import ForwardPass
from rlhf_losses.losses import Loss
from rlhf_losses.losses.reduction import AverageOver, item_weights, weighted_mean
from rlhf_losses.shapes import PerItem, Scalar, Scores


def weigh(loss: Loss, batch: ForwardPass, over: AverageOver) -> list[PerItem]:
    """Return the weights of the items of each term."""
    no_scores = torch.zeros(len(batch["score_row"]), device=batch["score_row"].device)
    feedback = batch["feedback"]
    weights = []
    for term in loss.terms:
        anchor = term.loss.item_positions(no_scores, feedback.convert_to(term.loss.feedback_type))
        rows = batch["score_row"][anchor]
        shares = batch["prompt_share"][rows] if over == "prompts" else 1.0
        weights.append(item_weights(rows, over) * shares)
    return weights


def step_totals(loss: Loss, batches: Sequence[ForwardPass], over: AverageOver) -> Tensor:
    """Return the sum of the weights of each term over the micro-batches of one optimizer step."""
    sums = [torch.stack([weights.sum() for weights in weigh(loss, batch, over)]) for batch in batches]
    return torch.stack(sums).sum(dim=0)


def price(loss: Loss, scores: Scores, batch: ForwardPass, numbers: Sequence[Mapping[str, Tensor]]) -> list[PerItem]:
    """Return the cost of each item of each term, at the numbers that the term has learned."""
    priced = zip(loss.terms, numbers, strict=True)
    return [term.loss.per_item_loss(scores, batch["feedback"], learned) for term, learned in priced]


def total_cost(loss: Loss, costs: Sequence[PerItem], weights: Sequence[PerItem], totals: Tensor) -> Scalar:
    """Return the weighted sum of the terms, each divided by its total."""
    means = [weighted_mean(items, weight, total) for items, weight, total in zip(costs, weights, totals, strict=True)]
    return torch.stack([term.weight * mean for term, mean in zip(loss.terms, means, strict=True)]).sum()
