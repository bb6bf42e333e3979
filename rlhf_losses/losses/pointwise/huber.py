"""Huber loss for ratings."""

from dataclasses import dataclass

from torch.nn.functional import huber_loss

from rlhf_losses.losses.families import RatingLoss
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerCandidate


@dataclass(frozen=True)
class Huber(RatingLoss):
    r"""Half the squared error up to a threshold, then linear.

    $$\begin{cases} \tfrac12 (s - y)^2 & |s - y| \le d \\ d\,(|s - y| - \tfrac12 d) & \text{otherwise} \end{cases}$$

    Use it for ratings with outliers; without outliers use `squared_error`. Below the threshold it is half of
    `squared_error`.

    Feedback:
        Ratings $y$ in the units of the scores; one item per answer.

    Args:
        threshold: absolute error $d$ from which the gradient is constant, in score units; at least 1e-6.

    References:
        Huber (1964), https://doi.org/10.1214/aoms/1177703732

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Ratings
        >>> Huber()(torch.tensor([2.5]), Ratings(candidates=[0], ratings=[5.0], sizes=[1]))
        tensor(2.)
    """

    threshold: float = number(1.0, SMALLEST)

    properties = NON_NEGATIVE | CONVEX | REVERSIBLE

    def per_rating(self, scores: PerCandidate, ratings: PerCandidate) -> PerCandidate:
        return huber_loss(scores, ratings.to(scores.dtype), reduction="none", delta=self.threshold)


huber = Huber()
