"""Estimates with 95 % intervals; the items of one prompt can depend on each other."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatVector: TypeAlias = NDArray[np.float64]
IntVector: TypeAlias = NDArray[np.int_]
BoolVector: TypeAlias = NDArray[np.bool_]

CONFIDENCE = 0.95

ROUNDING = 1e-12
"""Spread of equal values through rounding, as a share of their size."""

RESAMPLES = 499
"""Number of samples of a bootstrap."""


@dataclass(frozen=True)
class Estimate:
    """A statistic of some items with its 95 % interval.

    Attributes:
        value: the statistic; NaN if there are no items.
        low: lower end of the interval; NaN if it is unknown.
        high: upper end of the interval; NaN if it is unknown.
        count: number of items.
    """

    value: float
    low: float
    high: float
    count: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the JSON object; unknown numbers are null."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if math.isnan(number) else number for name, number in numbers.items()} | {
            "count": self.count
        }

    def __str__(self) -> str:
        """Return the statistic with its interval.

        Examples:
            >>> print(Estimate(0.75, 0.5, 0.875, 8))
            0.7500 [0.5000, 0.8750]
        """
        interval = "" if math.isnan(self.low) else f" [{self.low:z.4f}, {self.high:z.4f}]"
        return f"{self.value:z.4f}{interval}"


def wilson(share: float, count: float) -> tuple[float, float]:
    r"""Return the Wilson score interval of a share.

    $$\frac{p + z^2 / 2n \pm z \sqrt{p (1 - p) / n + z^2 / 4n^2}}{1 + z^2 / n}$$

    Args:
        share: the share $p$ of successes, from 0 to 1.
        count: the number $n$ of independent trials; it need not be an integer.

    References:
        Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22(158).

    Examples:
        >>> low, high = wilson(0.5, 100)
        >>> round(low, 3), round(high, 3)
        (0.404, 0.596)
    """
    if not count:
        return math.nan, math.nan
    square = _normal_quantile() ** 2
    centre = share + square / (2 * count)
    width = math.sqrt(square * (share * (1 - share) / count + square / (4 * count**2)))
    return max(0.0, (centre - width) / (1 + square / count)), min(1.0, (centre + width) / (1 + square / count))


def share_estimate(values: FloatVector, clusters: IntVector) -> Estimate:
    """Return the mean of values from 0 to 1, such as an accuracy, with a Wilson interval.

    If several items belong to one cluster, such as the pairs of one prompt, the number of trials is the effective
    sample size: the number of independent items that would give the variance of the mean over clusters.

    Args:
        values: one value per item.
        clusters: cluster of each item.

    References:
        Kish (1965), Survey Sampling, chapter 8; Franco et al. (2019), Comparative study of confidence intervals for
        proportions in complex sample surveys, JSSAM 7(3).

    Examples:
        >>> alone = share_estimate(np.array([1.0, 0.0, 1.0, 1.0]), np.arange(4))
        >>> repeated = share_estimate(np.repeat([1.0, 0.0, 1.0, 1.0], 6), np.repeat(np.arange(4), 6))
        >>> alone.low >= repeated.low > 0.2  # the copies add no information
        True
    """
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan, 0)
    share = float(values.mean())
    return Estimate(share, *wilson(share, _effective_count(values, clusters)), len(values))


def mean_estimate(values: FloatVector, clusters: IntVector) -> Estimate:
    """Return a mean with its t interval, from the variance over clusters; without a variance it is unknown.

    Args:
        values: one value per item.
        clusters: cluster of each item.

    Examples:
        >>> mean_estimate(np.array([1.0, 2.0, 3.0]), np.arange(3)).value
        2.0
    """
    from scipy import stats

    if not len(values):
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean, count = float(values.mean()), len(np.unique(clusters))
    if count < 2:
        return Estimate(mean, math.nan, math.nan, len(values))
    error = math.sqrt(variance_of_mean(values, clusters))
    if error <= ROUNDING * np.abs(values).max():
        return Estimate(mean, math.nan, math.nan, len(values))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    return Estimate(mean, mean - half, mean + half, len(values))


def bootstrap_estimate(statistic: Callable[[IntVector], float], clusters: IntVector) -> Estimate:
    """Return a statistic with its percentile bootstrap interval, which is unknown if all samples have one value.

    Whole clusters are drawn.

    Args:
        statistic: function of the indices of items; NaN where it is not defined.
        clusters: cluster of each item.

    References:
        Field and Welsh (2007), Bootstrapping clustered data, JRSS B 69(3).

    Examples:
        >>> numbers = np.array([1.0, 2.0, 3.0, 4.0])
        >>> found = bootstrap_estimate(lambda items: float(np.median(numbers[items])), np.arange(4))
        >>> found.value, found.low >= 1.0
        (2.5, True)
    """
    from scipy import stats

    value, count = statistic(np.arange(len(clusters))), len(np.unique(clusters))
    if math.isnan(value) or count < 2:
        return Estimate(value, math.nan, math.nan, len(clusters))
    members = _Members.of(clusters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # samples for which the statistic is not defined
        values = stats.bootstrap(
            (np.arange(count),),
            lambda drawn: statistic(members.items(drawn)),
            n_resamples=RESAMPLES,
            vectorized=False,
            method="percentile",
            rng=np.random.default_rng(0),
        ).bootstrap_distribution
    defined = values[~np.isnan(values)]
    if not len(defined) or np.ptp(defined) <= ROUNDING * np.abs(defined).max():
        return Estimate(value, math.nan, math.nan, len(clusters))
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Estimate(value, low, high, len(clusters))


@dataclass(frozen=True)
class _Members:
    """The items of each cluster.

    Attributes:
        order: items, cluster by cluster.
        starts: index of the first item of each cluster in `order`.
        sizes: number of items of each cluster.
    """

    order: IntVector
    starts: IntVector
    sizes: IntVector

    @classmethod
    def of(cls, clusters: IntVector) -> "_Members":
        _, index, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
        return cls(np.argsort(index, kind="stable"), np.cumsum(sizes) - sizes, sizes)

    def items(self, drawn: Sequence[int] | IntVector) -> IntVector:
        """Return the items of some clusters; a cluster that is drawn twice has its items twice."""
        sizes = self.sizes[drawn]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        found: IntVector = self.order[np.repeat(self.starts[drawn], sizes) + within]
        return found


def _effective_count(values: FloatVector, clusters: IntVector) -> float:
    """Return the number of independent trials that have the variance of the mean over clusters."""
    count = len(np.unique(clusters))
    if count == len(values):
        return float(count)
    share = float(values.mean())
    variance = variance_of_mean(values, clusters) if count > 1 else 0.0
    if not variance:  # all clusters are alike: each is one trial
        return float(count)
    return float(np.clip(share * (1 - share) / variance, 1.0, len(values)))


def variance_of_mean(values: FloatVector, clusters: IntVector) -> float:
    """Return the variance of the mean, linearized for clusters of different sizes."""
    _, index = np.unique(clusters, return_inverse=True)
    residuals = np.bincount(index, weights=values - values.mean())
    return float((residuals**2).sum()) / len(values) ** 2 * len(residuals) / (len(residuals) - 1)


def _normal_quantile() -> float:
    from scipy import stats

    return float(stats.norm.ppf((1 + CONFIDENCE) / 2))
