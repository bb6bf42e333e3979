"""Logs as tables: CSV, Parquet, and the database of Trackio."""

import csv
import io
import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from rlhf_losses.errors import UnreadableDatasetError, first_line
from rlhf_losses.report.log_rows import LogRow, LogRows, step_of

DELIMITERS = (",", ";", "\t")
TAG_NAMES = ("tag", "metric", "name", "key")
"""Names of the column with the name of the metric, in tables with one value per row."""


def parse_csv(text: str, metric: str) -> LogRows:
    """Return the rows of a table as text.

    Args:
        text: content of the file. The delimiter is the one that its first line has most often.
        metric: name of the metric in a table with the columns step and value only, as TensorBoard writes it.

    Examples:
        >>> parse_csv("step;loss\\n1;0.5", "log").rows
        ({'step': '1', 'loss': '0.5'},)
        >>> parse_csv("Wall time,Step,Value\\n0.0,1,0.5", "loss").rows
        ({'Step': '1', 'loss': '0.5'},)
        >>> parse_csv("step,metric,value\\n1,loss,0.5\\n1,kl,0.1", "log").rows
        ({'step': '1', 'loss': '0.5', 'kl': '0.1'},)
    """
    header = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False)
    rows = [{str(name): value for name, value in row.items() if name is not None and value} for row in reader]
    kept = [row for row in rows if row]
    return LogRows(tuple(_wide(kept, metric)), len(rows) - len(kept))


def _wide(rows: Sequence[LogRow], metric: str) -> Sequence[LogRow]:
    """Return rows with one column per metric; those of a table with one value per row are joined by step."""
    names = {name.lower(): name for row in rows[:1] for name in row}
    if "value" not in names:
        return rows
    tag = next((names[name] for name in TAG_NAMES if name in names), None)
    if tag is None and not names.keys() <= {"wall time", "wall_time", "step", "value"}:
        return rows
    joined: dict[Any, dict[str, Any]] = defaultdict(dict)
    for number, row in enumerate(rows):
        step = step_of(row)
        others = {name: one for name, one in row.items() if name not in (tag, names["value"])}
        others = {name: one for name, one in others.items() if name.lower() not in ("wall time", "wall_time")}
        name = metric if tag is None else str(row.get(tag, metric))
        joined[number if step is None else step] |= {**others, name: row.get(names["value"])}
    return list(joined.values())


def read_parquet(path: Path) -> LogRows:
    """Return the rows of a Parquet file.

    Args:
        path: the file.

    Raises:
        UnreadableDatasetError: it is no such file.
    """
    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise UnreadableDatasetError(
            f"'{path}' is no Parquet file: {first_line(error)}. Name the file of a log."
        ) from error
    return LogRows(tuple(_without_null(row) for row in rows))


def read_trackio(path: Path) -> LogRows:
    """Return the rows of a database of Trackio, with the name of their run.

    Args:
        path: the file `PROJECT.db`.

    Raises:
        UnreadableDatasetError: it is no such database.
    """
    try:
        with sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True) as connection:
            found = connection.execute("SELECT run_name, step, metrics FROM metrics ORDER BY run_name, id").fetchall()
        connection.close()
        rows = [{"run_name": run, "step": step, **json.loads(metrics)} for run, step, metrics in found]
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise UnreadableDatasetError(
            f"'{path}' is no database of Trackio: {first_line(error)}. Name the file PROJECT.db of its folder."
        ) from error
    return LogRows(tuple(map(_without_null, rows)))


def _without_null(row: Mapping[str, Any]) -> LogRow:
    return {name: value for name, value in row.items() if value is not None}
