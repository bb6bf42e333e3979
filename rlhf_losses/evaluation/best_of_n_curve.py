"""The expected quality of the best of n answers, as a model chooses it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from rlhf_losses.evaluation.intervals import BoolVector, Estimate, FloatVector, IntVector, mean_estimate
from rlhf_losses.evaluation.items import compared_parts
from rlhf_losses.evaluation.scored_data import ScoredData
from rlhf_losses.feedback import Feedback, Rankings, Ratings


@dataclass(frozen=True)
class BestOfN:
    """Expected quality of the answer with the highest score among n answers to a prompt, drawn without replacement.

    The quality of an answer is its grade or rating, scaled so that the worst answer to the prompt has 0 and the best
    one 1. A prompt with fewer than n answers counts with all of them.

    Attributes:
        n: number of answers to choose from.
        quality: expected quality, as a mean over prompts.
        oracle: expected quality of the best answer among the n.
        chance: expected quality of a random answer.
        best_chosen: probability that the choice is one of the best answers to the prompt.
    """

    n: int
    quality: Estimate
    oracle: float
    chance: float
    best_chosen: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {**asdict(self), "quality": self.quality.to_dict(), "best_chosen": self.best_chosen.to_dict()}


def best_of_n_curve(data: ScoredData) -> tuple[BestOfN, ...]:
    """Return the curve over n of lists of answers with ranks or ratings; lists of equal answers are left out.

    Args:
        data: the scored dataset.

    Returns:
        Points for 1, 2, 3 and 4 answers and then for powers of two, up to the longest list; empty without lists.
    """
    lists = [one for part in compared_parts(data) for one in _lists(data, part)]
    if not lists:
        return ()
    largest = max(len(scores) for scores, _, _ in lists)
    numbers = [n for n in (1, 2, 3, 4, 8, 16, 32, 64, 128) if n < largest] + [largest]
    clusters = np.array([cluster for _, _, cluster in lists])
    return tuple(_point(lists, clusters, n) for n in numbers)


def expected_best_of_n(scores: FloatVector, values: FloatVector, n: int) -> FloatVector:
    r"""Return the expected value of the sample with the highest score among `n` samples without replacement.

    Of $N$ samples, the one with the $i$-th lowest score is the best of $n$ with probability
    $\binom{i - 1}{n - 1} / \binom{N}{n}$. Samples with equal scores are chosen with equal probabilities.

    Args:
        scores: scores of shape (prompt, sample).
        values: values of shape (prompt, sample).
        n: number of samples to choose from.

    Returns:
        The expected value for each prompt.

    Examples:
        >>> expected_best_of_n(np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 3.0, 6.0]]), n=2)
        array([5.])
        >>> expected_best_of_n(np.array([[1.0, 1.0]]), np.array([[0.0, 1.0]]), n=2)
        array([0.5])
    """
    order = np.argsort(scores, axis=1, kind="stable")
    total = scores.shape[1]
    ranks = np.arange(n, total + 1)
    probability = np.exp(_log_binomial(ranks - 1, n - 1) - _log_binomial(total, n))
    ordered = np.take_along_axis(values, order, axis=1)
    expected: FloatVector = _mean_of_equal(np.take_along_axis(scores, order, axis=1), ordered)[:, n - 1 :] @ probability
    return expected


def _mean_of_equal(scores: FloatVector, values: FloatVector) -> FloatVector:
    """Return the values with the mean of those of equal scores; both are ordered by score."""
    is_first: BoolVector = np.ones(scores.shape, dtype=bool)
    is_first[:, 1:] = scores[:, 1:] != scores[:, :-1]
    group = is_first.reshape(-1).cumsum() - 1
    means = np.bincount(group, weights=values.reshape(-1)) / np.bincount(group)
    found: FloatVector = means[group].reshape(scores.shape)
    return found


def _log_binomial(total: IntVector | int, chosen: int) -> FloatVector:
    from scipy.special import gammaln

    found: FloatVector = gammaln(np.add(total, 1)) - gammaln(chosen + 1) - gammaln(np.subtract(total, chosen) + 1)
    return found


def _lists(data: ScoredData, part: Feedback) -> Iterator[tuple[FloatVector, FloatVector, int]]:
    """Yield scores, qualities and cluster of each list whose answers are not all equally good."""
    rankings = part.to_rankings() if isinstance(part, Ratings) else part
    if not isinstance(rankings, Rankings):
        return
    clusters = data.clusters[rankings.item_positions.numpy()].tolist()
    for (scores, grades), cluster in zip(rankings.graded_lists(data.values), clusters, strict=True):
        span = grades.max() - grades.min()
        if span > 0:
            yield scores.numpy(), ((grades - grades.min()) / span).to(torch.float64).numpy(), cluster


def _point(lists: list[tuple[FloatVector, FloatVector, int]], clusters: IntVector, n: int) -> BestOfN:
    quality, oracle, best = (np.empty(len(lists)) for _ in range(3))
    sizes = np.array([len(scores) for scores, _, _ in lists])
    for size in np.unique(sizes).tolist():
        chosen = np.flatnonzero(sizes == size)
        scores, values = (np.stack([lists[index][column] for index in chosen.tolist()]) for column in (0, 1))
        quality[chosen] = expected_best_of_n(scores, values, min(n, size))
        oracle[chosen] = expected_best_of_n(values, values, min(n, size))
        best[chosen] = expected_best_of_n(scores, (values == 1).astype(float), min(n, size))
    chance = float(np.mean([values.mean() for _, values, _ in lists]))
    return BestOfN(n, mean_estimate(quality, clusters), float(oracle.mean()), chance, mean_estimate(best, clusters))
