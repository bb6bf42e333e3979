"""`clip`: scores within symmetric limits."""

from dataclasses import dataclass

from rlhf_losses.losses.options import number
from rlhf_losses.shapes import Scores
from rlhf_losses.transforms.base import Fitted, ScoredTexts, ScoreTransform


@dataclass(frozen=True)
class Clip(ScoreTransform):
    r"""Limit scores to the interval from `-limit` to `limit`.

    $$s' = \min(\max(s, -c), c)$$

    Use it after `standardize`: the scale of raw scores differs between models.

    Args:
        limit: $c$, in score units; above 0.

    Examples:
        >>> import torch
        >>> Clip(limit=2.0).apply(ScoredTexts(torch.tensor([-3.0, 1.0]), torch.empty(2, 0), torch.ones(2)), {})
        tensor([-2.,  1.])
    """

    limit: float = number(5.0, 0.0, exclude_low=True)

    monotone = True

    def apply(self, texts: ScoredTexts, fitted: Fitted) -> Scores:
        """Return the clipped scores."""
        return texts.scores.clamp(-self.limit, self.limit)


clip = Clip()
