"""Thurstone loss for pairs."""

import math
from dataclasses import dataclass

from rlhf_losses.losses.families import PairwiseLoss
from rlhf_losses.losses.numerics import log_normal_cdf
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class Thurstone(PairwiseLoss):
    r"""Negative log-likelihood with normal noise on scores.

    $$-\log \Phi\left(\frac{s_\text{chosen} - s_\text{rejected} - m}{\sqrt 2\, d}\right)$$

    Use it if normal noise is part of the model of the annotators. `bradley_terry` has logistic noise: for a wrong pair
    with a large score difference $\Delta$ it grows linearly in $\Delta$, and this loss grows quadratically. So wrong
    labels have a larger influence here.

    Feedback:
        Pairs. The margin $m$ is subtracted from the score difference; preferences, ties and weights apply as in
        `bradley_terry`.

    Args:
        deviation: standard deviation $d$ of the noise on each score, in score units; at least 1e-6.

    References:
        Thurstone (1927), case V, https://doi.org/10.1037/h0070288

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> Thurstone()(torch.tensor([1.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.6931)
    """

    deviation: float = number(1.0, SMALLEST)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    def per_pair(self, score_difference: PerPair) -> PerPair:
        return -log_normal_cdf(score_difference / (math.sqrt(2) * self.deviation))


thurstone = Thurstone()
