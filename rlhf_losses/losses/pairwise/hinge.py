"""Hinge loss for pairs."""

from dataclasses import dataclass

from torch.nn.functional import relu

from rlhf_losses.losses.families import PairwiseLoss
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import (
    CONVEX,
    HOMOGENEOUS,
    MONOTONE,
    NON_NEGATIVE,
    REVERSIBLE,
    SHIFT_INVARIANT,
    LossProperty,
)
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class Hinge(PairwiseLoss):
    r"""Shortfall of the score difference, or a power of it.

    $$\max(0,\; M - (s_\text{chosen} - s_\text{rejected} - m))^p$$

    The shortfall is the difference between the required and the actual score difference.

    Use it if pairs with a sufficient score difference should have no gradient. The loss is not a likelihood; for
    calibrated probabilities use `bradley_terry`. For single answers use `pointwise_hinge`, for steps `segment_hinge`.

    Feedback:
        Pairs. The margin $m$ of a pair is added to the option `margin`; preferences, ties and weights apply as in
        `bradley_terry`.

    Args:
        margin: score difference $M$ from which the loss is 0, in score units; at least 0.
        power: exponent $p$ in [1, 2]; 2 is the squared hinge loss.

    References:
        Joachims (2002), ranking SVM, https://doi.org/10.1145/775047.775067

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> Hinge()(torch.tensor([0.25, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.7500)
    """

    margin: float = number(1.0, 0.0)
    power: float = number(1.0, 1.0, 2.0)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE

    def active_properties(self) -> LossProperty:
        return self.properties if self.margin else self.properties | HOMOGENEOUS

    def per_pair(self, score_difference: PerPair) -> PerPair:
        return relu(self.margin - score_difference) ** self.power


hinge = Hinge()
