"""The only place that averages.

A loss gives one number per item. Two averages are common, and they differ as soon as prompts have
different numbers of items:

* over **items**: every pair (list, rating, step) counts the same. For pairs this is the empirical
  loss over the preference set; prompts with many pairs weigh more.
* over **prompts**: every prompt counts the same, however many items it has; the items of a prompt
  share its weight equally.

Both are weighted means. A weighted mean over several micro-batches or processes is exact only if the
weights are summed over all of them first: that sum is the `total` below.
"""

from typing import Literal

import torch

from rlhf_losses.shapes import ItemIndex, PerItem, Scalar

AverageOver = Literal["items", "prompts"]


def item_weights(prompts: ItemIndex, over: AverageOver) -> PerItem:
    """Return one weight an item: 1, or 1 ÷ the number of items of its prompt.

    `prompts` names the prompt of each item by a number of its own.

    >>> item_weights(torch.tensor([0, 0, 1]), "prompts")
    tensor([0.5000, 0.5000, 1.0000])
    """
    if over == "items" or len(prompts) == 0:
        return torch.ones(len(prompts), device=prompts.device)
    _, which, counts = torch.unique(prompts, return_inverse=True, return_counts=True)
    return 1.0 / counts[which].float()


def weighted_mean(items: PerItem, weights: PerItem, total: Scalar | float | None = None) -> Scalar:
    r"""Return :math:`\sum_i w_i \ell_i / \text{total}`; `total` defaults to :math:`\sum_i w_i`.

    No items cost nothing: the result is then 0, and its gradient is 0 too.

    >>> weighted_mean(torch.tensor([1.0, 3.0]), torch.ones(2))
    tensor(2.)
    """
    total = weights.sum() if total is None else torch.as_tensor(total, device=items.device)
    safe = torch.where(total > 0, total, torch.ones_like(total))
    return (items * weights.to(items.dtype)).sum() / safe
