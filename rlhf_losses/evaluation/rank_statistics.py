"""Correlations with intervals."""

import math

import numpy as np

from rlhf_losses.evaluation.intervals import CONFIDENCE, Estimate, FloatVector, IntVector, variance_of_mean


def pearson(first: FloatVector, second: FloatVector, clusters: IntVector) -> Estimate:
    r"""Return the correlation of two vectors with the interval of Fisher's transformation.

    With several items in a cluster, such as the answers to one prompt, the standard error is that of the mean over
    clusters of the influence $z_1 z_2 - r (z_1^2 + z_2^2) / 2$ of each item, where $z$ are standardized values.

    Args:
        first: one number per item.
        second: one number per item.
        clusters: cluster of each item.

    Examples:
        >>> found = pearson(np.array([1.0, 2, 3, 4]), np.array([2.0, 4, 6, 9]), np.arange(4))
        >>> round(found.value, 3)
        0.994
    """
    return _fisher(first, second, clusters)


def rank_correlation(first: FloatVector, second: FloatVector, clusters: IntVector) -> Estimate:
    """Return Spearman's rank correlation with its interval; for the arguments see `pearson`.

    References:
        Bonett and Wright (2000), Sample size requirements for estimating Pearson, Kendall and Spearman correlations,
        Psychometrika 65(1): the standard error.

    Examples:
        >>> rank_correlation(np.array([1.0, 2, 3]), np.array([1.0, 4, 9]), np.arange(3)).value
        1.0
    """
    from scipy import stats

    return _fisher(stats.rankdata(first), stats.rankdata(second), clusters, of_ranks=True)


def partial_correlation(first: FloatVector, second: FloatVector, given: FloatVector, clusters: IntVector) -> Estimate:
    """Return the correlation of two vectors after the linear effect of a third one is removed from both.

    Args:
        first: one number per item.
        second: one number per item.
        given: one number per item.
        clusters: cluster of each item.

    Examples:
        >>> quality = np.array([0.0, 0, 1, 1])
        >>> length = np.array([1.0, 2, 5, 6])
        >>> round(partial_correlation(10 * quality, length, quality, np.arange(4)).value, 3)
        nan
        >>> round(partial_correlation(10 * quality + length, length, quality, np.arange(4)).value, 3)
        1.0
    """
    return pearson(_residuals(first, given), _residuals(second, given), clusters)


def _residuals(values: FloatVector, given: FloatVector) -> FloatVector:
    centred, other = values - values.mean(), given - given.mean()
    power = float(other @ other)
    residuals: FloatVector = centred - other * (float(centred @ other) / power if power else 0.0)
    # Rounding of a vector that `given` explains in full has a correlation of its own.
    return np.where(np.abs(residuals) > 1e-9 * max(1e-300, float(np.abs(values).max(initial=0.0))), residuals, 0.0)


def _correlation(first: FloatVector, second: FloatVector) -> float:
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.clip(np.corrcoef(first, second)[0, 1], -1, 1))


def _fisher(first: FloatVector, second: FloatVector, clusters: IntVector, of_ranks: bool = False) -> Estimate:
    """Return a correlation with the interval of Fisher's transformation."""
    from scipy import stats

    value, items, count = _correlation(first, second), len(first), len(np.unique(clusters))
    if math.isnan(value) or count <= 3 or abs(value) == 1:
        return Estimate(value, math.nan, math.nan, items)
    factor = 1 + value**2 / 2 if of_ranks else 1.0
    if count == items:
        half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * math.sqrt(factor / (count - 3))
    else:
        error = math.sqrt(variance_of_mean(_influence(first, second, value), clusters) * factor) / (1 - value**2)
        if not error:
            return Estimate(value, math.nan, math.nan, items)
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    centre = math.atanh(value)
    return Estimate(value, math.tanh(centre - half), math.tanh(centre + half), items)


def _influence(first: FloatVector, second: FloatVector, correlation: float) -> FloatVector:
    """Return the influence of each item on the correlation."""
    one, other = ((values - values.mean()) / values.std() for values in (first, second))
    influence: FloatVector = one * other - correlation * (one**2 + other**2) / 2
    return influence
