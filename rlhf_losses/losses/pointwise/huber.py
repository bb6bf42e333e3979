"""Huber: squared error near the rating, absolute error far from it."""

from dataclasses import dataclass

from torch.nn.functional import huber_loss

from rlhf_losses.losses.base import RatingLoss
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerCandidate


@dataclass(frozen=True)
class Huber(RatingLoss):
    r"""Half the squared distance of the score from the rating, which goes on as a straight line from a threshold.

    .. math:: \begin{cases} \tfrac12 (s - y)^2 & |s - y| \le d \\ d\,(|s - y| - \tfrac12 d) & \text{else} \end{cases}

    Feedback:
        Ratings, in the units that the scores shall have.
    Options:
        `threshold` :math:`d` > 0, in score units: from this distance on, a rating pulls no harder.
    Relations:
        Half of `squared_error` within the threshold.
    Reference:
        Huber (1964), https://doi.org/10.1214/aoms/1177703732
    Example:
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
