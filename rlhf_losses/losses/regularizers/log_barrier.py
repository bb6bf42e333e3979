"""Log barrier: scores may move freely within limits, and are pushed back from beyond them."""

import math
from dataclasses import dataclass

import torch

from rlhf_losses.losses.base import Regularizer
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import Scores


@dataclass(frozen=True)
class LogBarrier(Regularizer):
    r"""Logarithm of the room that a score leaves to its limits, which goes on as its tangent from near the limits.

    .. math:: -\log(1 - x^2) \text{ for } x = \frac{|s|}{L} \le 1 - \delta, \quad \text{else} \quad
        -\log(1 - e^2) + \frac{2 e}{1 - e^2}(x - e) \text{ with } e = 1 - \delta

    Feedback:
        Any; one item a score.
    Options:
        `limit` :math:`L` > 0, in score units.
        `slack` :math:`\delta` from 0.000001 to 0.5: the share of the limit before it at which the straight line begins.
    Relations:
        `score_decay` pulls at every score, and the harder the farther it is.
    Reference:
        Cai et al. (2024), the reward model of InternLM2, https://arxiv.org/abs/2403.17297; the tangent is added here,
        so that scores beyond the limit are pushed back too
    Example:
        >>> from rlhf_losses.feedback import Pairs
        >>> LogBarrier(limit=2.0)(torch.tensor([0.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.1438)
    """

    limit: float = number(5.0, SMALLEST)
    slack: float = number(0.001, 1e-6, 0.5)

    properties = NON_NEGATIVE | CONVEX | REVERSIBLE

    def per_score(self, scores: Scores) -> Scores:
        distance, edge = scores.abs() / self.limit, 1 - self.slack
        slope = 2 * edge / (1 - edge**2)
        inside = -torch.log1p(-(distance.clamp(max=edge) ** 2))
        return torch.where(distance <= edge, inside, -math.log1p(-(edge**2)) + slope * (distance - edge))


log_barrier = LogBarrier()
