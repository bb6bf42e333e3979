"""Averages of per-item losses over items or over prompts.

Both averages are weighted means. They differ if prompts have different numbers of items. A weighted mean over several
micro-batches or processes is exact only if all of them divide by the same total: the sum of all weights.
"""

from typing import Literal

import torch

from rlhf_losses.shapes import ItemIndex, PerItem, Scalar

AverageOver = Literal["items", "prompts"]
"""`items`: each item has the same weight. `prompts`: each prompt has the same weight, divided among its items."""


def item_weights(prompts: ItemIndex, over: AverageOver) -> PerItem:
    """Return the weight of each item in the mean: 1, or 1 / number of items of its prompt.

    Args:
        prompts: index of the prompt of each item, of shape (items).
        over: `items` or `prompts`.

    Examples:
        >>> item_weights(torch.tensor([0, 0, 1]), "prompts")
        tensor([0.5000, 0.5000, 1.0000])
    """
    if over == "items" or len(prompts) == 0:
        return torch.ones(len(prompts), device=prompts.device)
    _, index, counts = torch.unique(prompts, return_inverse=True, return_counts=True)
    weights: PerItem = 1.0 / counts[index].float()
    return weights


def weighted_mean(values: PerItem, weights: PerItem, total: Scalar | float | None = None) -> Scalar:
    r"""Return the weighted mean of per-item losses.

    $$\frac{1}{\text{total}} \sum_i w_i\, \ell_i$$

    Args:
        values: per-item losses $\ell_i$, of shape (items).
        weights: weights $w_i$, of shape (items).
        total: divisor; by default the sum of `weights`.

    Returns:
        The mean; 0, with gradient 0, if the total is 0.

    Examples:
        >>> weighted_mean(torch.tensor([1.0, 3.0]), torch.ones(2))
        tensor(2.)
    """
    divisor = weights.sum() if total is None else torch.as_tensor(total, device=values.device)
    weighted_sum = (values * weights.to(values.dtype)).sum()
    return weighted_sum / torch.where(divisor > 0, divisor, torch.ones_like(divisor))
