"""Hinge: a pair costs what its score_difference falls short of one margin."""

from dataclasses import dataclass

from torch.nn.functional import relu

from rlhf_losses.losses.base import PairwiseLoss
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, MONOTONE, NON_NEGATIVE, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class Hinge(PairwiseLoss):
    r"""Shortfall of the score_difference, or its square.

    .. math:: \max(0,\; M - (s_\text{chosen} - s_\text{rejected} - m))^p

    Feedback:
        Pairs, with `margin` :math:`m`, `preference` and `weight` as for `bradley_terry`.
    Options:
        `margin` :math:`M` ≥ 0: the score_difference, in score units, from which a pair costs nothing.
        `power` :math:`p` from 1 to 2: 2 is the squared hinge, which pushes the harder the more is lacking.
    Relations:
        `pointwise_hinge` prices one labelled text, `segment_hinge` one labelled step.
    Reference:
        Joachims (2002), ranking SVM, https://doi.org/10.1145/775047.775067
    Example:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> Hinge()(torch.tensor([0.25, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.7500)
    """

    margin: float = number(1.0, 0.0)
    power: float = number(1.0, 1.0, 2.0)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.margin:
            object.__setattr__(self, "properties", self.properties | HOMOGENEOUS)

    def per_pair(self, score_difference: PerPair) -> PerPair:
        return relu(self.margin - score_difference) ** self.power


hinge = Hinge()
