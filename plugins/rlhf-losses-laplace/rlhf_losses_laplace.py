"""Uncertainty of reward-model scores: a Laplace approximation of the posterior of the score head."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf_losses import (
    BradleyTerry,
    Evidence,
    Loss,
    Objective,
    Pairs,
    ScoredTexts,
    ScoreEstimate,
    Scorer,
    UnsupportedModelError,
    hookimpl,
    options,
)


@dataclass(frozen=True)
class Laplace(ScoreEstimate):
    r"""Standard deviation of a score under the Bradley–Terry model, by a Laplace approximation of the last layer.

    $$\sqrt{(\phi - \bar\phi)^\top \Sigma\, (\phi - \bar\phi)}, \qquad
    \Sigma = \Big(\lambda I + \frac{1}{T^2} \sum_i w_i\, p_i (1 - p_i)\, d_i d_i^\top\Big)^{-1}$$

    A score is $\theta^\top \phi$, where $\phi$ is the input vector of the score head and $\theta$ its weights. With a
    normal prior of precision $\lambda$ on the weights, the matrix in parentheses is the Hessian of the negative log
    posterior: a pair whose vectors differ by $d$ and whose chosen answer wins with probability $p$ adds $p (1 - p)\, d
    d^\top / T^2$, whichever answer won. The inverse of the Hessian approximates the covariance of the posterior around
    the trained weights. The layers below the head are assumed to be known exactly.

    Pairs determine score differences only. The estimate is the standard deviation of the difference between a score
    and the mean score of the training texts, whose mean vector is $\bar\phi$; a vector added to all $\phi$ has no
    effect. The standard deviation is near 0 for texts with a vector near $\bar\phi$. It grows with the distance from
    $\bar\phi$ in directions in which few pairs differ. Pairs with $p$ near 0 or 1 add almost nothing, so the estimates
    of an overtrained model are those of the prior.

    The estimate uses `margin` and `weight` $w$ of pairs. It does not depend on `preference`, because
    $p (1 - p)$ is symmetric in the two answers.

    Args:
        prior_precision: $\lambda$, the inverse prior variance of each weight of the head; above 0. It determines the
            estimate in directions without data.
        temperature: $T$, the temperature of the `bradley_terry` loss that the model was trained with; above 0.

    References:
        Daxberger et al. (2021), last-layer Laplace approximation, https://arxiv.org/abs/2106.14806; MacKay (1992),
        Hessian for classifiers, https://doi.org/10.1162/neco.1992.4.5.720; Yang et al. (2024), reward models with
        LoRA, https://arxiv.org/abs/2402.13210. The form for pairs, relative to the mean, is derived here.
    """

    prior_precision: float = options.number(1.0, 0.0, exclude_low=True)
    temperature: float = options.number(1.0, 0.0, exclude_low=True)

    feedback_type = Pairs

    def require_loss(self, loss: Loss | Objective) -> None:
        """Raise `UnsupportedModelError` unless `loss` has a Bradley–Terry term with this temperature."""
        terms = [term.loss for term in loss.as_objective().terms if isinstance(term.loss, BradleyTerry)]
        if not terms:
            raise UnsupportedModelError(
                f"{self} needs a model that was trained with bradley_terry, but this model was trained with {loss}. "
                "Train one with bradley_terry."
            )
        if self.temperature not in [term.temperature for term in terms]:
            trained = terms[0].temperature
            raise UnsupportedModelError(
                f"{self} has the temperature {self.temperature:g}, but this model was trained with {loss}. "
                f"Use laplace(temperature={trained!r})."
            )

    def fit(self, evidence: Iterable[Evidence]) -> dict[str, Tensor]:
        """Return `mean` and `root`.

        `mean`, of shape (width), is the mean feature vector of both answers of all pairs. `root`, of shape
        (width, width), is a matrix R with RᵀR = Σ.
        """
        hessian, total, count = torch.zeros(()), torch.zeros(()), 0
        for batch in evidence:
            pairs = batch.feedback
            vectors = batch.features.double()
            difference = vectors[pairs.chosen] - vectors[pairs.rejected]
            weight = self._second_derivative(batch.scores.double(), pairs)
            hessian = hessian + difference.T @ (weight.unsqueeze(1) * difference)
            total = total + vectors[pairs.chosen].sum(0) + vectors[pairs.rejected].sum(0)
            count += 2 * len(pairs)
        prior = self.prior_precision * torch.eye(len(hessian), dtype=torch.float64)
        factor = torch.linalg.cholesky(hessian + prior)
        root = torch.linalg.solve_triangular(factor, torch.eye(len(factor), dtype=torch.float64), upper=False)
        return {"mean": (total / count).float(), "root": root.float()}

    def predict(self, texts: ScoredTexts, fitted: Mapping[str, Tensor]) -> Tensor:
        """Return the standard deviation of each score."""
        return ((texts.features - fitted["mean"]) @ fitted["root"].T).norm(dim=1)

    def _second_derivative(self, scores: Tensor, pairs: Pairs) -> Tensor:
        """Return the second derivative of the loss value of each pair in its score difference."""
        score_difference = pairs.score_difference(scores) - (0.0 if pairs.margin is None else pairs.margin)
        win_probability = torch.sigmoid(score_difference / self.temperature)
        weight = 1.0 if pairs.weight is None else pairs.weight
        return weight * win_probability * (1 - win_probability) / self.temperature**2


class LowerBound:
    """A reward function: the score minus `weight` times its standard deviation.

    Args:
        scorer: scorer of a model to which `laplace` was fitted.
        weight: number of standard deviations.
    """

    def __init__(self, scorer: Scorer, weight: float = 1.0) -> None:
        self.estimator, self.weight = scorer.estimator(Laplace.name()), weight
        self.__name__ = f"{scorer.__name__}_lower_bound"

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float]:
        """Return the lower bound of the score of each completion, from one forward pass per text."""
        scores, deviations = self.estimator.with_scores(prompts, completions)
        return [score - self.weight * deviation for score, deviation in zip(scores, deviations, strict=True)]


@hookimpl
def provide_score_estimates() -> list[type[ScoreEstimate]]:
    """Return the standard deviation of scores."""
    return [Laplace]
