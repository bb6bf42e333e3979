"""Tables of results: CSV files, Markdown, and means over seeds with 95 % t-intervals."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats


def t_interval(values: Sequence[float] | np.ndarray | pd.Series) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % t-interval, which is NaN for a single value."""
    array = np.asarray(values, dtype=float)
    if len(array) < 2:
        return float(array.mean()), float("nan")
    return float(array.mean()), float(stats.t.ppf(0.975, len(array) - 1) * stats.sem(array))


def format_interval(values: Sequence[float] | np.ndarray | pd.Series) -> str:
    """Return the mean with both ends of its interval.

    Examples:
        >>> format_interval([1.0, 2.0, 3.0])
        '+2.000 [-0.484, +4.484]'
    """
    mean, half = t_interval(values)
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def format_mean(values: Sequence[float] | np.ndarray | pd.Series) -> str:
    """Return the mean plus or minus half the width of its interval.

    Examples:
        >>> format_mean([1.0, 2.0, 3.0])
        '2.000 ± 2.484'
    """
    mean, half = t_interval(values)
    return f"{mean:.3f} ± {half:.3f}"


def seed_matrix(results: pd.DataFrame, column: str) -> np.ndarray:
    """Return one column of the results of several seeds, of shape (seed, row of the seed).

    Examples:
        >>> seed_matrix(pd.DataFrame({"seed": [0, 0, 1, 1], "gold": [0.1, 0.2, 0.3, 0.4]}), "gold")
        array([[0.1, 0.2],
               [0.3, 0.4]])
    """
    return np.stack([of_seed[column].to_numpy() for _, of_seed in results.groupby("seed")])


def write_csv(rows: Sequence[dict[str, Any]] | pd.DataFrame, file: str | Path) -> None:
    """Write a table with six significant digits; missing folders are created."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(file, index=False, float_format="%.6g")


def markdown_header(columns: Sequence[str], text_columns: int = 1) -> str:
    """Return the two header lines of a Markdown table; numbers are aligned to the right.

    Examples:
        >>> print(markdown_header(["loss", "accuracy"]))
        | loss | accuracy |
        |---|---:|
    """
    alignment = ["---"] * text_columns + ["---:"] * (len(columns) - text_columns)
    return f"{markdown_row(columns)}\n|{'|'.join(alignment)}|"


def markdown_row(cells: Iterable[object]) -> str:
    """Return one line of a Markdown table.

    Examples:
        >>> markdown_row(["hinge", 0.5])
        '| hinge | 0.5 |'
    """
    return f"| {' | '.join(map(str, cells))} |"


def print_markdown(columns: Sequence[str], rows: Iterable[Iterable[object]], text_columns: int = 1) -> None:
    """Print a Markdown table, each row as soon as it is available."""
    print(markdown_header(columns, text_columns))
    for row in rows:
        print(markdown_row(row), flush=True)
