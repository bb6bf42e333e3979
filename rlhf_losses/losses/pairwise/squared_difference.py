"""Squared difference: the score_difference should equal a target, no less and no more."""

from dataclasses import dataclass

from rlhf_losses.losses.base import PairwiseLoss
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class SquaredDifference(PairwiseLoss):
    r"""Squared distance of the score_difference from a target.

    .. math:: (s_\text{chosen} - s_\text{rejected} - m - M)^2

    Feedback:
        Pairs, with `margin` :math:`m`, `preference` and `weight` as for `bradley_terry`. A preference of
        :math:`p` asks for the score_difference :math:`(2p - 1) M`, so that scores stay bounded however sure people are.
    Options:
        `target` :math:`M` ≥ 0: the score_difference of a pair that is certain, in score units. With 0, the column `margin` alone
        says by how much the chosen answer leads.
    Relations:
        `hinge` with a power of 2 stops once the score_difference is large enough.
    Reference:
        Azar et al. (2023), equation 17, https://arxiv.org/abs/2310.12036;
        for rated comparisons: Ziegler et al. (2019), https://arxiv.org/abs/1909.08593
    Example:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> SquaredDifference()(torch.tensor([1.5, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.2500)
    """

    target: float = number(1.0, 0.0)

    properties = SHIFT_INVARIANT | NON_NEGATIVE | CONVEX | REVERSIBLE

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.target:
            object.__setattr__(self, "properties", self.properties | HOMOGENEOUS)

    def per_pair(self, score_difference: PerPair) -> PerPair:
        return (score_difference - self.target) ** 2


squared_difference = SquaredDifference()
