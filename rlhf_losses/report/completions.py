"""Completions that TRL's trainers save during a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from rlhf_losses.errors import first_line
from rlhf_losses.report.findings import problem
from rlhf_losses.report.page import Cell, LongText, Section, Table

MOMENTS = 3
"""Number of steps of which completions are shown: the first, the last and those between."""

PER_STEP = 6
"""Number of completions of each step that are shown."""

TEXTS = ("prompt", "completion")


def completion_section(name: str, folder: Path) -> Section:
    """Return the completions of some steps with their rewards; the same prompts if they were used again.

    Args:
        name: name of the run.
        folder: the folder `completions` of the run.
    """
    files = sorted(folder.glob("*.parquet"))
    last = len(files) - 1
    chosen = sorted({round(last * index / (MOMENTS - 1)) for index in range(MOMENTS)}) if files else []
    tables, damaged = [], []
    for file in (files[index] for index in chosen):
        try:
            tables.append(pyarrow.parquet.read_table(file).to_pylist())
        except (OSError, pyarrow.ArrowException) as error:
            damaged.append(problem(f"{file.name} cannot be read: {first_line(error)}."))
    shown = [row for rows in tables for row in _select(rows, _common_prompts(tables))]
    names = [name for name in dict.fromkeys(name for row in shown for name in row) if name not in TEXTS]
    count = sum(map(len, tables))
    note = f"{len(shown)} of {count} completions of {len(tables)} of {len(files)} saved steps."
    table = Table("Completions", [*TEXTS, *names], [_cells(row, names) for row in shown])
    return Section(f"Completions of {name}", [table] if shown else [], [note], damaged)


def _common_prompts(tables: Sequence[Sequence[Mapping[str, Any]]]) -> set[str]:
    """Return the prompts that all of the steps have."""
    prompts = [{text_of(row.get("prompt")) for row in rows} for rows in tables]
    return set.intersection(*prompts) if prompts else set()


def _select(rows: Sequence[Mapping[str, Any]], prompts: set[str]) -> list[Mapping[str, Any]]:
    first = sorted(rows, key=lambda row: text_of(row.get("prompt")) not in prompts)
    return first[:PER_STEP]


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> list[Cell]:
    texts: list[Cell] = [text_cell(row.get(name)) for name in TEXTS]
    values = [row.get(name) for name in names]
    return texts + [value_cell(one) for one in values]


def value_cell(value: Any) -> Cell:
    """Return a number as it is, and anything else as a text.

    Args:
        value: a value of a column.
    """
    return value if isinstance(value, int | float) else text_cell(value)


def text_cell(value: Any) -> LongText | None:
    """Return a text or a conversation as a cell of a table; None is an empty cell.

    Args:
        value: as in `text_of`.
    """
    return None if value is None else LongText(text_of(value))


def text_of(value: Any) -> str:
    """Return a text, or the messages of a conversation as lines `role: content`.

    Args:
        value: a string, or a list of messages.

    Examples:
        >>> text_of([{"role": "user", "content": "Hi"}])
        'user: Hi'
    """
    if isinstance(value, list) and all(isinstance(one, Mapping) and "content" in one for one in value):
        return "\n".join(f"{one.get('role', '')}: {one['content']}" for one in value)
    return "" if value is None else str(value)
