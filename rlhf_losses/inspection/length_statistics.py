"""Summary statistics of lengths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlhf_losses.inspection.annotations import FloatVector


@dataclass(frozen=True)
class LengthSummary:
    """Minimum, median, mean, 95th percentile and maximum of lengths, in characters or tokens."""

    min: float
    median: float
    mean: float
    p95: float
    max: float


def summarize_lengths(lengths: Sequence[float] | FloatVector) -> LengthSummary | None:
    """Return summary statistics of lengths, or `None` if all of them are NaN.

    Examples:
        >>> summarize_lengths([1, 2, 6])
        LengthSummary(min=1.0, median=2.0, mean=3.0, p95=5.6, max=6.0)
    """
    values = np.asarray(lengths, dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, median, p95, high = np.quantile(values, [0, 0.5, 0.95, 1]).tolist()
    return LengthSummary(low, median, float(values.mean()), p95, high)
