"""Squared error: the score should equal the rating."""

from dataclasses import dataclass

from rlhf_losses.losses.base import RatingLoss
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerCandidate


@dataclass(frozen=True)
class SquaredError(RatingLoss):
    r"""Squared distance of the score from the rating.

    .. math:: (s - y)^2

    Feedback:
        Ratings, in the units that the scores shall have.
    Relations:
        `segment_rating` is the same for each step of a text.
    Reference:
        Wang et al. (2024), reward models by regression on ratings, https://arxiv.org/abs/2406.08673
    Example:
        >>> import torch
        >>> from rlhf_losses.feedback import Ratings
        >>> SquaredError()(torch.tensor([2.5]), Ratings(candidates=[0], ratings=[4.0], sizes=[1]))
        tensor(2.2500)
    """

    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX | REVERSIBLE

    def per_rating(self, scores: PerCandidate, ratings: PerCandidate) -> PerCandidate:
        return (scores - ratings) ** 2


squared_error = SquaredError()
