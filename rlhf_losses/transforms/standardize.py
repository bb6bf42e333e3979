"""`standardize`: mean 0 and standard deviation 1 on reference samples."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.shapes import Scores
from rlhf_losses.transforms.base import Evidence, Fitted, Requirement, ScoredTexts, ScoreTransform


@dataclass(frozen=True)
class Standardize(ScoreTransform):
    r"""Shift and scale scores to mean 0 and standard deviation 1 on reference samples.

    $$s' = \frac{s - \mu}{\sigma}$$

    A preference loss does not determine the origin of the scores, and a regularizer determines their scale, so the
    meaning of a score of 3 differs between models. Standardized scores are comparable: 0 is the mean of the reference
    samples, and 1 is their standard deviation.

    References:
        Ziegler et al. (2019), https://arxiv.org/abs/1909.08593; detail 15 of Huang et al. (2024),
        https://arxiv.org/abs/2403.17031

    Examples:
        >>> from rlhf_losses.feedback import Mixed
        >>> scores, none, lengths = torch.tensor([1.0, 3.0]), torch.empty(2, 0), torch.ones(2)
        >>> fitted = standardize.fit([Evidence(scores, none, lengths, Mixed(()))])
        >>> standardize.apply(ScoredTexts(scores, none, lengths), fitted)
        tensor([-1.,  1.])
    """

    requires = Requirement.REFERENCE
    monotone = True

    def fit(self, evidence: Iterable[Evidence]) -> Fitted:
        """Return `mean` and `std` of the scores.

        Raises:
            InvalidFeedbackError: there are fewer than two samples, or all have the same score.
        """
        scores = torch.cat([batch.scores for batch in evidence])
        count = len(scores)
        if count < 2 or not scores.std() > 0:
            received = f"{count} reference sample{'' if count == 1 else 's'}"
            equal = f", all with the score {scores[0]:z.4f}," if count > 1 else ""
            raise InvalidFeedbackError(
                f"{self} received {received}{equal} but needs at least two with different scores. "
                "Give a few hundred different samples."
            )
        return {"mean": scores.mean(), "std": scores.std(correction=0)}

    def apply(self, texts: ScoredTexts, fitted: Fitted) -> Scores:
        """Return the standardized scores."""
        return (texts.scores - fitted["mean"]) / fitted["std"]

    def affine(self, fitted: Fitted) -> tuple[float, float]:
        """Return `1 / std` and `-mean / std`."""
        mean, std = fitted["mean"].item(), fitted["std"].item()
        return 1 / std, -mean / std


standardize = Standardize()
