"""Focal Bradley–Terry: pairs that are ranked right count the less the surer the model is."""

import math
from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.losses.base import PairwiseLoss
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import MONOTONE, NON_NEGATIVE, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class FocalBradleyTerry(PairwiseLoss):
    r"""Bradley–Terry in full for pairs ranked wrong, and scaled down for pairs ranked right.

    .. math:: -\big(1 - 2 \max(0, \sigma(\Delta) - \tfrac12)\big)^\gamma \log \sigma(\Delta),
        \qquad \Delta = s_\text{chosen} - s_\text{rejected} - m

    Feedback:
        Pairs, with `margin` :math:`m`, `preference` and `weight` as for `bradley_terry`.
    Options:
        `focus` :math:`\gamma` from 0 to 100: how fast a pair stops counting once it is ranked right.
    Relations:
        `bradley_terry` at focus 0, and wherever the score_difference is negative.
    Reference:
        Cai et al. (2024), the reward model of InternLM2, https://arxiv.org/abs/2403.17297
    Example:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> FocalBradleyTerry()(torch.tensor([0.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(1.3133)
    """

    focus: float = number(2.0, 0.0, 100.0)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | REVERSIBLE

    def per_pair(self, score_difference: PerPair) -> PerPair:
        # The base of the power is 1 or 2 sigmoid(-score_difference), whichever is less; its logarithm has a gradient at 0 too.
        doubt = (self.focus * (math.log(2) + logsigmoid(-score_difference)).clamp(max=0)).exp()
        return -doubt * logsigmoid(score_difference)


focal_bradley_terry = FocalBradleyTerry()
