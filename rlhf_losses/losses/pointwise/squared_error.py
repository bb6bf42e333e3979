"""Squared error for ratings."""

from dataclasses import dataclass

from rlhf_losses.losses.families import RatingLoss
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerCandidate


@dataclass(frozen=True)
class SquaredError(RatingLoss):
    r"""Squared error between the score and the rating.

    $$(s - y)^2$$

    This is the standard loss of ratings; scores have the units of the ratings. For outliers use `huber`, for ordinal
    scales `ordinal_rating`, for several named ratings `multi_attribute`, for rated steps `segment_rating`.

    Feedback:
        Ratings $y$ in the units of the scores; one item per answer.

    References:
        Wang et al. (2024), HelpSteer2, https://arxiv.org/abs/2406.08673

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Ratings
        >>> SquaredError()(torch.tensor([2.5]), Ratings(candidates=[0], ratings=[4.0], sizes=[1]))
        tensor(2.2500)
    """

    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX | REVERSIBLE

    def per_rating(self, scores: PerCandidate, ratings: PerCandidate) -> PerCandidate:
        return (scores - ratings) ** 2


squared_error = SquaredError()
