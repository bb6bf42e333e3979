"""The beginning and the end of a logged metric, and whether they differ by more than noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlhf_losses.evaluation.intervals import FloatVector
from rlhf_losses.messages.percentages import percent

MIN_LOGS = 5
"""Number of values below which a series is too short to tell a change from noise."""

SHARE = 5
"""The beginning and the end of a series are a fifth each."""

CLEAR = 2.0
"""Number of standard errors from which a difference is more than noise."""


@dataclass(frozen=True)
class Ends:
    """The beginning and the end of a series.

    Attributes:
        count: number of values in each of the two parts.
        first: mean of the first part.
        last: mean of the last part.
        error: standard error of their difference; None with fewer than five values.
    """

    count: int
    first: float
    last: float
    error: float | None

    @classmethod
    def of(cls, values: Sequence[float] | FloatVector) -> "Ends | None":
        r"""Return the ends of a series, or None with fewer than two finite values.

        The standard error of the difference of two means of $n$ values is $\sqrt{(s_1^2 + s_2^2) / n}$. Single values
        have the standard deviation that the differences of neighbours imply.

        Args:
            values: the values; those that are not finite are left out.

        Examples:
            >>> str(Ends.of(range(20)))
            'from 1.5 to 17.5 (means of the first and the last 4 logs)'
            >>> Ends.of([1.0, 2.0])
            Ends(count=1, first=1.0, last=2.0, error=None)
        """
        series = np.asarray(values, dtype=float)
        series = series[np.isfinite(series)]
        if len(series) < 2:
            return None
        count = max(len(series) // SHARE, 1)
        first, last = series[:count], series[-count:]
        error = None
        if count > 1:
            error = math.sqrt((first.var(ddof=1) + last.var(ddof=1)) / count)
        elif len(series) >= MIN_LOGS:
            error = float(np.diff(series).std())
        return cls(count, float(first.mean()), float(last.mean()), error)

    @property
    def change(self) -> float:
        """Difference of the two means."""
        return self.last - self.first

    @property
    def noise(self) -> float | None:
        """Difference up to which a change can be noise: twice the standard error."""
        return None if self.error is None else CLEAR * self.error

    @property
    def direction(self) -> int:
        """1 if the metric has risen by more than noise, −1 if it has fallen, otherwise 0."""
        return 0 if self.noise is None or abs(self.change) <= self.noise else int(np.sign(self.change))

    @property
    def in_percent(self) -> str:
        """Both values of a share, as in `str`."""
        return f"from {percent(self.first)} to {percent(self.last)}{self._means}"

    def __str__(self) -> str:
        """Return both values, and how they are computed if they are means."""
        return f"from {self.first:.3g} to {self.last:.3g}{self._means}"

    @property
    def _means(self) -> str:
        return "" if self.count == 1 else f" (means of the first and the last {self.count} logs)"
