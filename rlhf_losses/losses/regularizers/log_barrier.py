"""Barrier against large scores."""

import math
from dataclasses import dataclass

import torch

from rlhf_losses.losses.families import Regularizer
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import Scores


@dataclass(frozen=True)
class LogBarrier(Regularizer):
    r"""Logarithmic barrier of each score at a limit.

    $$\begin{cases} -\log(1 - x^2) & x \le e \\
    -\log(1 - e^2) + \frac{2 e}{1 - e^2}(x - e) & \text{otherwise} \end{cases} \qquad
    x = \frac{|s|}{L}, \quad e = 1 - \delta$$

    It continues by its tangent close to the limit and beyond it.

    Use it as a term of a sum to keep scores within a range with little influence on small scores. `score_decay` has a
    larger gradient at small scores and a smaller one near the limit. The tangent is an addition to the paper; with it,
    scores beyond the limit have a gradient.

    Feedback:
        Any; one item per score, and the annotations are ignored.

    Args:
        limit: limit $L$ of the absolute score, in score units; at least 1e-6.
        slack: distance $\delta$ to the limit at which the tangent starts, as a share of the limit; in [1e-6, 0.5].

    References:
        Cai et al. (2024), InternLM2, https://arxiv.org/abs/2403.17297

    Examples:
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
