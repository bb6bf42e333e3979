r"""Calibration: whether differences of scores are log-odds of preferences, and scores log-odds of labels.

The probability that the first answer of a pair is better is $\sigma(s_1 - s_2)$, the model of Bradley and Terry, and
the probability of a positive label is $\sigma(s)$.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rlhf_losses.evaluation.intervals import Estimate, FloatVector, IntVector, mean_estimate, share_estimate
from rlhf_losses.evaluation.items import ComparedPairs, Items, LabelledItems

BINS = 10

CHANCE, CHANCE_SAMPLES = 0.95, 199
"""Share of the samples of a calibrated model whose error is at most the one by chance, and their number."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions with a probability in one range.

    Attributes:
        low: lower end of the range.
        high: upper end of the range.
        probability: mean of the predicted probabilities.
        observed: share of the predictions that come true, with its interval.
    """

    low: float
    high: float
    probability: float
    observed: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {**asdict(self), "observed": self.observed.to_dict()}


@dataclass(frozen=True)
class Calibration:
    """Agreement of probabilities with outcomes.

    Attributes:
        calibration_error: expected calibration error: the mean difference of probability and observed share over the
            bins, weighted by their items.
        error_by_chance: error that a calibrated model stays below in 95 % of samples with these probabilities. The
            error is a sum of absolute values, so it is above 0 even then, and its bootstrap interval would leave out 0.
        brier_score: mean squared difference of the probability and the outcome, with its interval.
        temperature: number that scores are divided by to make the outcomes most likely; infinite if they would be most
            likely with equal scores.
        calibration_error_at_temperature: expected calibration error after this division.
        bins: the reliability diagram.
    """

    calibration_error: float
    error_by_chance: float
    brier_score: Estimate
    temperature: float
    calibration_error_at_temperature: float
    bins: tuple[ReliabilityBin, ...]

    @property
    def brier(self) -> float:
        """Mean squared difference of the probability and the outcome."""
        return self.brier_score.value

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object; an infinite temperature is null."""
        return {
            "calibration_error": self.calibration_error,
            "error_by_chance": self.error_by_chance,
            "brier": self.brier,
            "temperature": self.temperature if np.isfinite(self.temperature) else None,
            "calibration_error_at_temperature": self.calibration_error_at_temperature,
            "bins": [one.to_dict() for one in self.bins],
        }


def calibration(items: Items) -> Calibration | None:
    """Return the calibration of comparisons or labels, or None for ratings.

    Of each pair, the prediction is the answer with the higher score, so its probability is from 0.5 to 1.

    Args:
        items: items of one kind.

    References:
        Guo et al. (2017), https://arxiv.org/abs/1706.04599; Bröcker and Smith (2007), Increasing the reliability of
        reliability diagrams, Weather and Forecasting 22(3): the error by chance.
    """
    if isinstance(items, ComparedPairs):
        logits, outcomes, lowest = np.abs(items.difference), _expected_outcome(items), 0.5
    elif isinstance(items, LabelledItems):
        logits, outcomes, lowest = items.labelled[:, 0], (items.labelled[:, 1] + 1) / 2, 0.0
    else:
        return None
    temperature = _temperature(logits, outcomes)
    probabilities, cooled = _sigmoid(logits), _sigmoid(logits / temperature)
    return Calibration(
        calibration_error(probabilities, outcomes, lowest),
        error_by_chance(probabilities, lowest),
        mean_estimate((probabilities - outcomes) ** 2, items.cluster),
        temperature,
        calibration_error(cooled, outcomes, lowest),
        reliability_bins(probabilities, outcomes, items.cluster, lowest),
    )


def calibration_error(probabilities: FloatVector, outcomes: FloatVector, lowest: float = 0.0) -> float:
    """Return the expected calibration error over bins of equal width.

    Args:
        probabilities: predicted probability of each item.
        outcomes: 1 if the prediction is true, 0 if it is false, or a probability.
        lowest: the lowest possible probability.

    Examples:
        >>> calibration_error(np.array([0.8, 0.8]), np.array([1.0, 0.0]))
        0.3
    """
    index = _bin_index(probabilities, lowest)
    gaps = np.bincount(index, weights=probabilities - outcomes)
    return round(float(np.abs(gaps).sum()) / len(probabilities), 12)


def error_by_chance(probabilities: FloatVector, lowest: float = 0.0) -> float:
    """Return the calibration error that independent outcomes with some probabilities stay below in 95 % of samples.

    Args:
        probabilities: probability of each item.
        lowest: the lowest possible probability.

    Examples:
        >>> few, many = (error_by_chance(np.full(count, 0.7)) for count in (50, 5000))
        >>> few > 5 * many > 0
        True
    """
    generator = np.random.default_rng(0)
    errors = [
        calibration_error(probabilities, (generator.random(len(probabilities)) < probabilities).astype(float), lowest)
        for _ in range(CHANCE_SAMPLES)
    ]
    return float(np.quantile(errors, CHANCE))


def reliability_bins(
    probabilities: FloatVector, outcomes: FloatVector, clusters: IntVector, lowest: float
) -> tuple[ReliabilityBin, ...]:
    """Return the bins with at least one item; for the arguments see `calibration_error`.

    Args:
        probabilities: predicted probability of each item.
        outcomes: outcome of each item.
        clusters: cluster of each item.
        lowest: the lowest possible probability.
    """
    index, edges = _bin_index(probabilities, lowest), np.linspace(lowest, 1, BINS + 1)
    return tuple(
        ReliabilityBin(
            float(edges[number]),
            float(edges[number + 1]),
            float(probabilities[index == number].mean()),
            share_estimate(outcomes[index == number], clusters[index == number]),
        )
        for number in np.unique(index).tolist()
    )


def _expected_outcome(pairs: ComparedPairs) -> FloatVector:
    """Return the annotated probability that the answer with the higher score is better."""
    right: FloatVector = np.where(pairs.difference > 0, pairs.preference, 1 - pairs.preference)
    return np.where(pairs.difference == 0, 0.5, right)


def _bin_index(probabilities: FloatVector, lowest: float) -> IntVector:
    index: IntVector = np.minimum(((probabilities - lowest) / (1 - lowest) * BINS).astype(int), BINS - 1)
    return index


def _temperature(logits: FloatVector, outcomes: FloatVector) -> float:
    """Return the temperature with the lowest mean log loss."""
    from scipy import optimize

    def slope(inverse: float) -> float:
        return float(np.mean((_sigmoid(inverse * logits) - outcomes) * logits))

    if slope(0.0) >= 0:  # the outcomes do not depend on the scores, or contradict them
        return np.inf
    high = 1.0
    while slope(high) < 0 and high < 1e6:
        high *= 2
    return 1 / float(optimize.brentq(slope, 0.0, high)) if slope(high) > 0 else 1 / high


def _sigmoid(logits: FloatVector) -> FloatVector:
    probabilities: FloatVector = np.exp(-np.logaddexp(0.0, -logits))
    return probabilities
