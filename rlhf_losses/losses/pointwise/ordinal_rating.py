"""Ordinal rating: stars are an order, and how far apart they lie is learned."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Ratings
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.numerics import between, cut_points, ends
from rlhf_losses.losses.options import count
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, PROPER
from rlhf_losses.shapes import PerCandidate, Scores


@dataclass(frozen=True)
class OrdinalRating(Loss):
    r"""Negative log-likelihood of the rating: a noisy score falls between two of a row of cut points.

    .. math:: -\log\big(\sigma(c_y - s) - \sigma(c_{y - 1} - s)\big), \qquad c_0 = -\infty,\; c_\text{levels} = \infty

    Feedback:
        Ratings that are whole numbers from 1.
    Options:
        `levels`: the highest rating. The cut points :math:`c_1 < \dots < c_{\text{levels} - 1}` are learned beside the
        model; they start 1 apart, around 0.
    Relations:
        `squared_error` takes the step from 1 to 2 stars to be worth as much as that from 4 to 5. With two levels and
        its cut point at 0 it is `cross_entropy`.
    Reference:
        McCullagh (1980), https://doi.org/10.1111/j.2517-6161.1980.tb01109.x
    Example:
        >>> import torch
        >>> OrdinalRating(levels=2)(torch.tensor([1.0]), Ratings(candidates=[0], ratings=[2.0], sizes=[1]))
        tensor(0.3133)
    """

    levels: int = count(5, 2)

    feedback_type = Ratings
    properties = NON_NEGATIVE | CONVEX | PROPER

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        first = {"first_cut": (1 - self.levels / 2,)}
        return first if self.levels == 2 else first | {"log_gaps": (0.0,) * (self.levels - 2)}

    def require_domain(self, feedback: Ratings) -> None:  # type: ignore[override]
        ratings = feedback.ratings
        odd = (ratings != ratings.round()) | (ratings < 1) | (ratings > self.levels)
        if bool(odd.any()):
            raise InvalidFeedbackError(
                f"ordinal_rating got the rating {ratings[odd][0].item():g}, but it reads whole numbers from 1 to "
                f"{self.levels}. Write ordinal_rating(levels=...) with the highest rating of the data, or take "
                "squared_error, which reads any number."
            )

    def forward(  # type: ignore[override]
        self, scores: Scores, feedback: Ratings, first_cut: Tensor, log_gaps: Tensor | None = None
    ) -> PerCandidate:
        cuts = ends(cut_points(first_cut, log_gaps))
        level = feedback.ratings.round().clamp(1, self.levels).long()
        return between(scores[feedback.candidates], cuts[level - 1], cuts[level])


ordinal_rating = OrdinalRating()
