"""Centering: the two scores of a pair should add up to zero."""

from dataclasses import dataclass

from rlhf_losses.feedback import Pairs
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerPair, Scores


@dataclass(frozen=True)
class Centering(Loss):
    r"""Squared sum of the two scores of a pair, which fixes the zero that pairwise losses leave free.

    .. math:: (s_\text{chosen} + s_\text{rejected})^2

    Feedback:
        Pairs; margins, preferences and weights do not matter to it.
    Relations:
        TRL's `center_rewards_coefficient=c` is `+ c * centering`. `score_decay` pulls every score to zero.
    Reference:
        Eisenstein et al. (2023), equation 2, https://arxiv.org/abs/2312.09244
    Example:
        >>> import torch
        >>> Centering()(torch.tensor([2.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(9.)
    """

    feedback_type = Pairs
    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX | REVERSIBLE

    def forward(self, scores: Scores, feedback: Pairs) -> PerPair:  # type: ignore[override]
        return (scores[feedback.chosen] + scores[feedback.rejected]) ** 2


centering = Centering()
