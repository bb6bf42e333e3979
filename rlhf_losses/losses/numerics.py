"""Cumulative links: an ordered answer says between which two cut points a noisy score fell."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rlhf_losses.shapes import PerItem


def between(scores: PerItem, low: PerItem, high: PerItem) -> PerItem:
    r"""Return :math:`-\log(\sigma(\text{high} - s) - \sigma(\text{low} - s))`, for cut points that may be endless.

    >>> between(torch.zeros(1), torch.tensor([-torch.inf]), torch.zeros(1))
    tensor([0.6931])
    """
    # The difference is the product of both sigmoids, each on its side, times 1 - e^(low - high): nothing cancels.
    width = torch.where((high == torch.inf) | (low == -torch.inf), 1.0, high - low)
    inside = torch.where((high == torch.inf) | (low == -torch.inf), 0.0, torch.log(-torch.expm1(-width)))
    return _below(scores, high) + _below(-scores, -low) - inside


def cut_points(first: Tensor, log_gaps: Tensor | None) -> Tensor:
    """Return rising cut points, the distance between two being the exponential of what is learned.

    >>> cut_points(torch.tensor([-1.0]), torch.tensor([0.0, 0.0]))
    tensor([-1.,  0.,  1.])
    """
    return first if log_gaps is None else torch.cat([first, first + log_gaps.exp().cumsum(dim=0)])


def ends(cuts: Tensor) -> Tensor:
    """Return the cut points with an endless one on either side."""
    edge = cuts.new_tensor([torch.inf])
    return torch.cat([-edge, cuts, edge])


def _below(scores: PerItem, cut: PerItem) -> PerItem:
    """Return the cost of a noisy score to fall below a cut point: nothing where that is endless."""
    finite = cut.isfinite()
    return torch.where(finite, -logsigmoid(torch.where(finite, cut, scores.detach()) - scores), 0.0)
