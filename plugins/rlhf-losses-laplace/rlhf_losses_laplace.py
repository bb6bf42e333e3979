"""AttentionOptions sure a reward model is of a score: the posterior of its last layer, by Laplace's method."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf_losses import (
    BradleyTerry,
    Evidence,
    Loss,
    Pairs,
    ScoreEstimate,
    Scorer,
    UnsupportedModelError,
    hookimpl,
    options,
)


@dataclass(frozen=True)
class Laplace(ScoreEstimate):
    r"""Standard deviation of a score, as pairs leave it open under the Bradley–Terry model.

    .. math:: \sqrt{(\phi - \bar\phi)^\top \Sigma\, (\phi - \bar\phi)}, \qquad \Sigma = \Big(\lambda I
        + \frac{1}{T^2} \sum_i w_i\, p_i (1 - p_i)\, d_i d_i^\top\Big)^{-1}

    A score is :math:`\theta^\top \phi`, where :math:`\phi` is what the score head reads and :math:`\theta` its
    weights. With a normal prior of precision :math:`\lambda` on these, the negative logarithm of their posterior has
    the curvature in brackets: a pair with the difference :math:`d` of its two vectors, and the probability :math:`p`
    that the chosen answer wins, adds :math:`p (1 - p)\, d d^\top / T^2`, whichever answer won. Its inverse is taken
    for the covariance of the posterior, as if that were normal around the weights that training found, and the layers
    below were certain.

    Differences of scores are all that pairs tell. AttentionOptions far all scores are off together is open, and left out here: the
    spread is that of a score's distance from the mean score of the texts it was fitted to, :math:`\bar\phi` being the
    mean of their vectors. One vector added to all :math:`\phi` changes nothing. At texts like the mean one the spread
    is near 0; it grows with the distance from there, in directions in which few pairs differ. Pairs of which the model
    is certain, with :math:`p` near 0 or 1, pin nothing down: overtrained models have the spread of the prior.

    Feedback:
        Pairs, and what can be read as such, with `margin` and `weight` :math:`w`. The sides of a pair count alike, so
        `preference` does not matter.
    Options:
        `prior_precision` :math:`\lambda` > 0: one over the variance that a weight of the head has before any data. It
        decides alone where no pair tells anything.
        `temperature` :math:`T` > 0: that of the `bradley_terry` which the model was trained with.
    Reference:
        Last layers: Daxberger et al. (2021), https://arxiv.org/abs/2106.14806; curvature of classifiers: MacKay (1992),
        https://doi.org/10.1162/neco.1992.4.5.720; reward models, on LoRA weights: Yang et al. (2024),
        https://arxiv.org/abs/2402.13210. For pairs, and relative to the mean, it is derived here.
    """

    prior_precision: float = options.number(1.0, 0.0, above=True)
    temperature: float = options.number(1.0, 0.0, above=True)

    feedback_type = Pairs

    def require_loss(self, loss: Loss) -> None:
        """Raise `UnsupportedModelError` unless `loss` has a Bradley–Terry term with this temperature."""
        terms = [term.loss for term in loss.terms if isinstance(term.loss, BradleyTerry)]
        if not terms:
            raise UnsupportedModelError(
                f"{self} is how far scores spread under the Bradley–Terry model, but this model was trained with "
                f"{loss}. Train one with bradley_terry."
            )
        if self.temperature not in [term.temperature for term in terms]:
            found = terms[0].temperature
            raise UnsupportedModelError(
                f"{self} takes the temperature to be {self.temperature:g}, but this model was trained with {loss}. "
                f"Write laplace(temperature={found!r})."
            )

    def fit(self, evidence: Iterable[Evidence]) -> dict[str, Tensor]:
        """Return the mean of the vectors, and a root R of the covariance: Σ = RᵀR."""
        curvature, total, count = torch.zeros(()), torch.zeros(()), 0
        for features, scores, pairs in evidence:
            vectors = features.double()
            difference = vectors[pairs.chosen] - vectors[pairs.rejected]
            weight = self._curvature_of_leads(scores.double(), pairs)
            curvature = curvature + difference.T @ (weight.unsqueeze(1) * difference)
            total = total + vectors[pairs.chosen].sum(0) + vectors[pairs.rejected].sum(0)
            count += 2 * len(pairs)
        prior = self.prior_precision * torch.eye(len(curvature), dtype=torch.float64)
        factor = torch.linalg.cholesky(curvature + prior)
        root = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=torch.float64), upper=False)
        return {"mean": (total / count).float(), "root": root.float()}

    def read(self, features: Tensor, scores: Tensor, mean: Tensor, root: Tensor) -> Tensor:
        """Return the standard deviation of each score."""
        return ((features - mean) @ root.T).norm(dim=1)

    def _curvature_of_leads(self, scores: Tensor, pairs: Pairs) -> Tensor:
        """Return the second derivative of each pair's cost in its score_difference."""
        score_difference = pairs.score_difference(scores) - (0.0 if pairs.margin is None else pairs.margin)
        wins = torch.sigmoid(score_difference / self.temperature)
        weight = 1.0 if pairs.weight is None else pairs.weight
        return weight * wins * (1 - wins) / self.temperature**2


class LowerBound:
    """A reward function that pays what a score is at worst: the score − `weight` × its standard deviation.

    Args:
        scorer: of a model to which `laplace` was fitted.
        weight: how many standard deviations to be cautious by.
    """

    def __init__(self, scorer: Scorer, weight: float = 1.0) -> None:
        self.spread, self.weight = scorer.estimator(Laplace.name()), weight
        self.__name__ = f"{scorer.__name__}_lower_bound"

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float]:
        """Return the lower bound of each completion's score, from one forward pass a text."""
        scores, spreads = self.spread.with_scores(prompts, completions)
        return [score - self.weight * spread for score, spread in zip(scores, spreads, strict=True)]


@hookimpl
def provide_score_estimates() -> list[type[ScoreEstimate]]:
    """Return the standard deviation of scores."""
    return [Laplace]
