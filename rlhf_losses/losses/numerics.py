"""Numerically stable formulas: the normal log-CDF, and likelihoods of cumulative link models."""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rlhf_losses.shapes import PerItem

_TAIL = -1e4
"""Below this number, the first term of the asymptotic expansion of the normal log-CDF is exact to 1e-8."""


def log_normal_cdf(x: PerItem) -> PerItem:
    """Return the logarithm of the standard normal distribution function, with finite gradients for any float32.

    `log(ndtr(x))` is -inf for x < -14 in float32, and the gradient of `log_ndtr` is infinite for x < -1e17.

    Examples:
        >>> log_normal_cdf(torch.zeros(1))
        tensor([-0.6931])
    """
    tail = x.clamp(max=_TAIL)
    expansion = -(tail**2) / 2 - torch.log(-tail) - math.log(2 * math.pi) / 2
    return torch.where(x < _TAIL, expansion, torch.special.log_ndtr(x.clamp(min=_TAIL)))


def interval_nll(scores: PerItem, low: PerItem, high: PerItem) -> PerItem:
    r"""Return the negative log-likelihood that a score with logistic noise is between two cut points.

    $$-\log(\sigma(\text{high} - s) - \sigma(\text{low} - s))$$

    Args:
        scores: scores $s$, of shape (items).
        low: lower cut points, of shape (items); may be -inf.
        high: upper cut points, of shape (items); may be inf.

    Examples:
        >>> interval_nll(torch.zeros(1), torch.tensor([-torch.inf]), torch.zeros(1))
        tensor([0.6931])
    """
    # The difference equals sigmoid(high - s) * sigmoid(s - low) * (1 - exp(low - high)), which has no cancellation.
    unbounded = (high == torch.inf) | (low == -torch.inf)
    width = torch.where(unbounded, 1.0, high - low)
    log_factor = torch.where(unbounded, 0.0, torch.log(-torch.expm1(-width)))
    return _below_nll(scores, high) + _below_nll(-scores, -low) - log_factor


def cut_points(first: Tensor, log_gaps: Tensor | None) -> Tensor:
    """Return increasing cut points; the gaps between them are the exponentials of trainable parameters.

    Examples:
        >>> cut_points(torch.tensor([-1.0]), torch.tensor([0.0, 0.0]))
        tensor([-1.,  0.,  1.])
    """
    return first if log_gaps is None else torch.cat([first, first + log_gaps.exp().cumsum(dim=0)])


def with_infinite_ends(cuts: Tensor) -> Tensor:
    """Return the cut points with -inf before and inf after them."""
    end = cuts.new_tensor([torch.inf])
    return torch.cat([-end, cuts, end])


def _below_nll(scores: PerItem, cut: PerItem) -> PerItem:
    """Return the negative log-likelihood that a score with logistic noise is below a cut point."""
    finite = cut.isfinite()
    return torch.where(finite, -logsigmoid(torch.where(finite, cut, scores.detach()) - scores), 0.0)
