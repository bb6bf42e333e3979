"""The log of a run: each metric as a series over steps."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from rlhf_losses.evaluation.intervals import FloatVector
from rlhf_losses.report.log_rows import LogRow, LogRows, number, step_of
from rlhf_losses.report.metric_names import EPISODE_NAMES, PROGRESS_NAMES, STEP_NAMES, Meaning, meaning

NO_METRICS = {*STEP_NAMES, *EPISODE_NAMES, *PROGRESS_NAMES}
"""Names of columns that are no metrics."""


@dataclass(frozen=True, eq=False)
class MetricSeries:
    """The values of a metric.

    Attributes:
        name: the name in the log.
        steps: steps, strictly increasing.
        values: value at each step; can be NaN or infinite.
    """

    name: str
    steps: FloatVector
    values: FloatVector

    @cached_property
    def meaning(self) -> Meaning | None:
        """What the name means; None if it is unknown."""
        return meaning(self.name)

    @property
    def finite(self) -> FloatVector:
        """The finite values."""
        found: FloatVector = self.values[np.isfinite(self.values)]
        return found


@dataclass(frozen=True)
class RunLog:
    """The log of a run.

    Attributes:
        axis: what the steps count: `step`, `episode`, `epoch` or `row`.
        series: metrics by their names in the log.
        replaced: steps with values that later values replace: the run was resumed at an earlier step, or logged a step
            twice.
        texts: names of values that are no numbers, with their number.
        unread: number of lines and objects without metrics.
    """

    axis: str
    series: Mapping[str, MetricSeries]
    replaced: frozenset[float] = frozenset()
    texts: Mapping[str, int] = field(default_factory=dict)
    unread: int = 0

    @classmethod
    def of(cls, log: LogRows) -> "RunLog":
        """Return the log with the given rows.

        If the step of a metric is not larger than before, the run was resumed: it replaces those from this step on.

        Args:
            log: the rows.

        Examples:
            >>> rows = [{"step": 1, "loss": 0.9}, {"step": 2, "loss": 0.8}, {"step": 2, "loss": 0.7}]
            >>> run = RunLog.of(LogRows(tuple(rows)))
            >>> run.series["loss"].values.tolist(), run.replaced
            ([0.9, 0.7], frozenset({2.0}))
        """
        axis, steps = _steps(log.rows)
        points: dict[str, list[tuple[float, float]]] = defaultdict(list)
        texts: Counter[str] = Counter()
        replaced: set[float] = set()
        for row, step in zip(log.rows, steps, strict=True):
            for name, value in row.items():
                found = number(value)
                if found is None:
                    texts[name] += value is not None and name not in NO_METRICS
                elif name.rpartition(" - ")[2].lower() not in NO_METRICS:
                    replaced |= _append(points[name], step, found)
        return cls(
            axis, dict(_series(points)), frozenset(replaced), {name: n for name, n in texts.items() if n}, log.unread
        )

    def find(self, metric: str) -> list[MetricSeries]:
        """Return the series of a metric, those of evaluations last.

        Args:
            metric: name of the metric in the logs of this package.
        """
        found = [one for one in self.series.values() if one.meaning is not None and one.meaning.metric.name == metric]
        return sorted(found, key=lambda one: one.meaning is not None and one.meaning.split != "train")

    @property
    def unknown(self) -> list[MetricSeries]:
        """The series whose names are unknown."""
        return [one for one in self.series.values() if one.meaning is None]


def _append(points: list[tuple[float, float]], step: float, value: float) -> set[float]:
    """Append a value after removing those from its step on; return the steps at which another value was removed."""
    removed = set()
    while points and points[-1][0] >= step:
        earlier = points.pop()
        if earlier != (step, value):
            removed.add(earlier[0])
    points.append((step, value))
    return removed


def _series(points: Mapping[str, Sequence[tuple[float, float]]]) -> Iterator[tuple[str, MetricSeries]]:
    for name, pairs in points.items():
        steps, values = np.array(pairs, dtype=float).T
        yield name, MetricSeries(name, steps, values)


def _steps(rows: Sequence[LogRow]) -> tuple[str, list[float]]:
    """Return what the steps count, and the step of each row; a row without a step has that of the row before."""
    for axis, names in (("step", STEP_NAMES), ("episode", EPISODE_NAMES)):
        found = [step_of(row, names) for row in rows]
        if any(step is not None for step in found):
            return axis, list(_filled(found))
    epochs = [step_of(row, ("epoch", "epochs")) for row in rows]
    known = [epoch for epoch in epochs if epoch is not None]
    if len(known) == len(rows) and all(b > a for a, b in pairwise(known)):
        return "epoch", known
    return "row", [float(index) for index in range(1, len(rows) + 1)]


def _filled(steps: Sequence[float | None]) -> Iterator[float]:
    last = 0.0
    for step in steps:
        last = last if step is None else step
        yield last
