"""Ordinal loss for ratings."""

from collections.abc import Mapping
from dataclasses import dataclass

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Ratings
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.numerics import cut_points, interval_nll, with_infinite_ends
from rlhf_losses.losses.options import integer
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, PROPER
from rlhf_losses.shapes import PerCandidate, Scores


@dataclass(frozen=True)
class OrdinalRating(Loss[Ratings]):
    r"""Negative log-likelihood of a rating with cut points.

    $$-\log\big(\sigma(c_y - s) - \sigma(c_{y - 1} - s)\big), \qquad c_0 = -\infty,\; c_\text{levels} = \infty$$

    Use it for ratings on an ordinal scale, such as stars, whose differences are not known to be equal. The cut points
    $c_1 < \dots < c_{\text{levels} - 1}$ are trainable parameters with initial gaps of 1, symmetric to 0. If rating
    differences are meaningful, use `squared_error`. With two levels and a cut point at 0 the loss is `cross_entropy`.

    Feedback:
        Ratings $y$ that are integers from 1 to `levels`; one item per answer.

    Args:
        levels: largest rating, from 2 to 1,000.

    References:
        McCullagh (1980), https://doi.org/10.1111/j.2517-6161.1980.tb01109.x

    Examples:
        >>> import torch
        >>> OrdinalRating(levels=2)(torch.tensor([1.0]), Ratings(candidates=[0], ratings=[2.0], sizes=[1]))
        tensor(0.3133)
    """

    levels: int = integer(5, 2, high=1_000)

    properties = NON_NEGATIVE | CONVEX | PROPER

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        first = {"first_cut": (1 - self.levels / 2,)}
        return first if self.levels == 2 else first | {"log_gaps": (0.0,) * (self.levels - 2)}

    def require_domain(self, feedback: Ratings) -> None:
        ratings = feedback.ratings
        invalid = (ratings != ratings.round()) | (ratings < 1) | (ratings > self.levels)
        if bool(invalid.any()):
            rating = ratings[invalid][0].item()
            raise InvalidFeedbackError(
                f"ordinal_rating received the rating {rating:g}, but ratings must be integers from 1 to {self.levels}. "
                f"{_remedy(ratings, rating)}, or use squared_error, which accepts any number."
            )

    def forward(self, scores: Scores, feedback: Ratings, parameters: Parameters) -> PerCandidate:
        cuts = with_infinite_ends(cut_points(parameters["first_cut"], parameters.get("log_gaps")))
        level = feedback.ratings.round().clamp(1, self.levels).long()
        return interval_nll(scores[feedback.candidates], cuts[level - 1], cuts[level])


def _remedy(ratings: PerCandidate, rating: float) -> str:
    if not rating.is_integer():
        fractions = int((ratings != ratings.round()).sum())
        of = f" ({fractions} of {len(ratings)})" if len(ratings) > 1 else ""
        return f"Round such ratings{of}, or leave these rows out if they are few"
    if rating < 1:
        return "Add a number to all ratings, so that the smallest is 1"
    return "Set ordinal_rating(levels=...) to the largest rating of the data"


ordinal_rating = OrdinalRating()
