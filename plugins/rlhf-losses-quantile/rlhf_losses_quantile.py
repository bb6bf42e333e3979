"""Scores that are quantiles: what an answer earns at worst, as a rule, or at best."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses import Loss, LossProperty, RatingLoss, hookimpl, options


@dataclass(frozen=True)
class Quantile(RatingLoss):
    r"""Distance of the score from the rating, dearer on one side: the cheapest score is a quantile of the ratings.

    .. math:: \max\big(\tau (y - s),\; (\tau - 1)(y - s)\big)

    Where ratings :math:`y` of like texts differ, the mean cost is least at a score that a share :math:`\tau` of them
    does not exceed: its slope in :math:`s` is the share of ratings below the score, less :math:`\tau`.

    Feedback:
        Ratings, in the units that the scores shall have.
    Options:
        `level` :math:`\tau` in (0, 1): the share of ratings that the score shall not fall below. At 0.1 a score is what
        an answer earns even from a hard judge, at 0.5 it is the median.
    Relations:
        `squared_error` asks for the mean of the ratings. At level 0.5 it is half of the absolute error, whose corner
        `huber` rounds off.
    Reference:
        Koenker & Bassett (1978), https://doi.org/10.2307/1913643
    Example:
        >>> import torch
        >>> from rlhf_losses import Ratings
        >>> too_low, too_high = torch.tensor([3.0]), torch.tensor([5.0])
        >>> rated_four = Ratings(candidates=[0], ratings=[4.0], sizes=[1])
        >>> Quantile(level=0.75)(too_low, rated_four), Quantile(level=0.75)(too_high, rated_four)
        (tensor(0.7500), tensor(0.2500))
    """

    level: float = options.number(0.5, 0.0, 1.0, above=True, below=True)

    properties = LossProperty.NON_NEGATIVE | LossProperty.CONVEX

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level == 0.5:
            object.__setattr__(self, "properties", self.properties | LossProperty.REVERSIBLE)

    def per_rating(self, scores: Tensor, ratings: Tensor) -> Tensor:
        short = ratings - scores
        return torch.maximum(self.level * short, (self.level - 1) * short)


@hookimpl
def provide_losses() -> list[type[Loss]]:
    """Return quantile regression."""
    return [Quantile]
