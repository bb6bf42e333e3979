"""What several seeds show: means with 95 % t-intervals, and the rows of every run as CSV."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % t-interval, which one value alone does not have."""
    found = np.asarray(values, dtype=float)
    if len(found) < 2:
        return float(found.mean()), float("nan")
    return float(found.mean()), float(stats.t.ppf(0.975, len(found) - 1) * stats.sem(found))


def told(values: Sequence[float] | np.ndarray) -> str:
    """Return the mean with both ends of its interval.

    >>> told([1.0, 2.0, 3.0])
    '+2.000 [-0.484, +4.484]'
    """
    mean, half = interval(values)
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def short(values: Sequence[float] | np.ndarray) -> str:
    """Return the mean plus or minus half the width of its interval.

    >>> short([1.0, 2.0, 3.0])
    '2.000 ± 2.484'
    """
    mean, half = interval(values)
    return f"{mean:.3f} ± {half:.3f}"


def write(rows: Iterable[dict[str, Any]], file: str | Path) -> None:
    """Write the rows, which have the same columns, with numbers to six digits."""
    told = [{name: f"{x:.6g}" if isinstance(x, float) else x for name, x in row.items()} for row in rows]
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, list(told[0]))
        writer.writeheader()
        writer.writerows(told)


def read(file: str | Path) -> list[dict[str, Any]]:
    """Read rows back, numbers as numbers."""
    with open(file, encoding="utf-8") as table:
        return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(table)]


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
