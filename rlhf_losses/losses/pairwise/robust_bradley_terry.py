"""Robust Bradley–Terry: when a known share of pairs is the wrong way round, the cost is right on average."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.losses.base import PairwiseLoss
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class RobustBradleyTerry(PairwiseLoss):
    r"""Bradley–Terry, corrected so that over random flips of the labels its mean is that of the true labels.

    .. math:: \frac{-(1 - \varepsilon) \log \sigma(\Delta) + \varepsilon \log \sigma(-\Delta)}{1 - 2 \varepsilon},
        \qquad \Delta = s_\text{chosen} - s_\text{rejected} - m

    Feedback:
        Pairs, with `margin` :math:`m`, `preference` and `weight` as for `bradley_terry`.
    Options:
        `flip_rate` :math:`\varepsilon` in [0, 0.5): the share of pairs that are known to be the wrong way round.
    Relations:
        `bradley_terry` at flip rate 0. Its label smoothing limits how far scores part; this loss does the opposite,
        and has no lower bound: add `score_decay` or `centering`, and do not overstate the rate.
    Reference:
        Ray Chowdhury et al. (2024), https://arxiv.org/abs/2403.00409
    Example:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> RobustBradleyTerry(flip_rate=0.25)(torch.tensor([1.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.6931)
    """

    flip_rate: float = number(0.1, 0.0, 0.5, below=True)

    properties = SHIFT_INVARIANT | MONOTONE | CONVEX | REVERSIBLE

    def per_pair(self, score_difference: PerPair) -> PerPair:
        # Since -log sigmoid(-score_difference) is -log sigmoid(score_difference) + score_difference, the fraction is this, with nothing to cancel.
        return -logsigmoid(score_difference) - self.flip_rate / (1 - 2 * self.flip_rate) * score_difference


robust_bradley_terry = RobustBradleyTerry()
