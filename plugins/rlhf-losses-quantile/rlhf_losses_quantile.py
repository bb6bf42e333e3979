"""Quantile regression: scores that are quantiles of the ratings."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses import Loss, LossProperty, RatingLoss, hookimpl, options


@dataclass(frozen=True)
class Quantile(RatingLoss):
    r"""Quantile (pinball) loss on ratings: the score with the lowest expected loss value is a quantile of the ratings.

    $$\max\big(\tau (y - s),\; (\tau - 1)(y - s)\big)$$

    If the ratings $y$ of similar texts vary, the mean loss value is lowest at a score that a share $\tau$ of the
    ratings does not exceed: its derivative in $s$ is the share of the ratings below the score, minus $\tau$.

    The ratings have the unit of the scores. `squared_error` estimates the mean of the ratings instead. At level
    0.5 the loss is half the absolute error, which `huber` smooths near 0.

    Args:
        level: $\tau$, the share of the ratings that are at most the score; above 0 and below 1. At 0.1 the score is a
            rating that 90 % of the annotators exceed, at 0.5 it is the median.

    References:
        Koenker & Bassett (1978), https://doi.org/10.2307/1913643

    Examples:
        >>> import torch
        >>> from rlhf_losses import Ratings
        >>> too_low, too_high = torch.tensor([3.0]), torch.tensor([5.0])
        >>> rated_four = Ratings(candidates=[0], ratings=[4.0], sizes=[1])
        >>> Quantile(level=0.75)(too_low, rated_four), Quantile(level=0.75)(too_high, rated_four)
        (tensor(0.7500), tensor(0.2500))
    """

    level: float = options.number(0.5, 0.0, 1.0, exclude_low=True, exclude_high=True)

    properties = LossProperty.NON_NEGATIVE | LossProperty.CONVEX

    def active_properties(self) -> LossProperty:
        """Return the properties; at level 0.5 the loss is also reversible."""
        return self.properties | LossProperty.REVERSIBLE if self.level == 0.5 else self.properties

    def per_rating(self, scores: Tensor, ratings: Tensor) -> Tensor:
        """Return the loss value of each rating."""
        error = ratings - scores
        return torch.maximum(self.level * error, (self.level - 1) * error)


@hookimpl
def provide_losses() -> list[type[Loss]]:
    """Return the quantile loss."""
    return [Quantile]
