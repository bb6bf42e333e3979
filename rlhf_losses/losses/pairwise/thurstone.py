"""Thurstone: each answer is perceived with normal noise, and the one perceived as better is chosen."""

import math
from dataclasses import dataclass

import torch

from rlhf_losses.losses.base import PairwiseLoss
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair

_DEEP = -1e4
"""From here downwards the first term of the asymptotic expansion is exact to 1e-8."""


@dataclass(frozen=True)
class Thurstone(PairwiseLoss):
    r"""Negative log-likelihood that the chosen answer is perceived as the better one, under normal noise.

    .. math:: -\log \Phi\left(\frac{s_\text{chosen} - s_\text{rejected} - m}{\sqrt 2\, d}\right)

    Feedback:
        Pairs, with `margin` :math:`m`, `preference` and `weight` as for `bradley_terry`.
    Options:
        `deviation` :math:`d` > 0: the standard deviation of the noise on each answer, in score units.
    Relations:
        `bradley_terry` has logistic noise on the score_difference: a pair far on the wrong side costs about its score_difference there, and
        half its squared score_difference here, so one wrong label pulls harder.
    Reference:
        Thurstone (1927), case V, https://doi.org/10.1037/h0070288
    Example:
        >>> from rlhf_losses.feedback import Pairs
        >>> Thurstone()(torch.tensor([1.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.6931)
    """

    deviation: float = number(1.0, SMALLEST)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    def per_pair(self, score_difference: PerPair) -> PerPair:
        return -_log_normal_cdf(score_difference / (math.sqrt(2) * self.deviation))


def _log_normal_cdf(x: PerPair) -> PerPair:
    """Return the logarithm of the normal distribution function, with finite gradients however deep the tail.

    The logarithm of `ndtr` itself is -inf from -14 downwards in float32, and the gradient of `log_ndtr` from -1e17.
    """
    tail = x.clamp(max=_DEEP)
    expansion = -(tail**2) / 2 - torch.log(-tail) - math.log(2 * math.pi) / 2
    return torch.where(x < _DEEP, expansion, torch.special.log_ndtr(x.clamp(min=_DEEP)))


thurstone = Thurstone()
