"""Cells that are not what their columns need, all of them in one message."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from rlhf_losses.errors import counted_from_0
from rlhf_losses.files.cells import CellKind

SHOWN = 5
"""Number of cells of a column, and of columns, that a message names."""

DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d{1,2}")

NAMES: dict[CellKind, str] = {"number": "a number", "label": "a label", "list": "a list", "object": "an object"}

PLURALS: dict[CellKind, str] = {
    "number": "no numbers",
    "label": "no labels",
    "list": "no lists",
    "object": "no objects",
}

REMEDIES: dict[CellKind, str] = {
    "number": "Write a number, true or false, or leave the cell empty if the value is missing.",
    "label": "Write true or false, yes or no, 1 or 0, or leave the cell empty if nobody judged.",
    "list": 'Write lists in CSV files as JSON, for example ["first answer", "second answer"].',
    "object": 'Write objects in CSV files as JSON, for example {"helpfulness": 4}.',
}


@dataclass(frozen=True)
class InvalidCell:
    """A cell that cannot be read.

    Attributes:
        path: the file.
        column: its column.
        kind: what the column needs.
        row: position of its row, from 0.
        text: the cell.
    """

    path: str
    column: str
    kind: CellKind
    row: int
    text: str


def describe_cells(cells: Sequence[InvalidCell]) -> str:
    """Return the message about cells that cannot be read.

    Args:
        cells: at least one cell.

    Examples:
        >>> describe_cells([InvalidCell("a.csv", "ranks", "list", 3, "first")])[:63]
        "Column 'ranks' of row 3 of 'a.csv' is 'first', which is not a l"
        >>> describe_cells([InvalidCell("a.csv", "stars", "number", row, "4,5") for row in range(2)])[:75]
        "Column 'stars' of 'a.csv' has 2 cells that are no numbers: '4,5' in row 0, "
    """
    by_column: dict[tuple[str, str], list[InvalidCell]] = {}
    for cell in cells:
        by_column.setdefault((cell.path, cell.column), []).append(cell)
    groups = list(by_column.values())
    more = f" In {len(groups) - SHOWN} more columns, too." if len(groups) > SHOWN else ""
    remedies = [REMEDIES[kind] for kind in dict.fromkeys(cell.kind for cell in cells)]
    comma = next((cell.text for cell in cells if cell.kind == "number" and DECIMAL_COMMA.fullmatch(cell.text)), None)
    if comma is not None:
        remedies.append(
            f"The decimal separator is a point: write {comma.replace(',', '.')} for {comma!r}, or read the file with "
            "pandas and decimal=',', and save it."
        )
    problems = " ".join(map(_describe_column, groups[:SHOWN]))
    return f"{problems}{more} {' '.join(remedies)} ({counted_from_0(cells[0].row)})"


def _describe_column(cells: Sequence[InvalidCell]) -> str:
    first = cells[0]
    if len(cells) == 1:
        where = f"Column '{first.column}' of row {first.row} of '{first.path}'"
        return f"{where} is {first.text!r:.80}, which is not {NAMES[first.kind]}."
    shown = ", ".join(f"{cell.text!r:.80} in row {cell.row}" for cell in islice(cells, SHOWN))
    more = f" and {len(cells) - SHOWN} more" if len(cells) > SHOWN else ""
    where = f"Column '{first.column}' of '{first.path}'"
    return f"{where} has {len(cells)} cells that are {PLURALS[first.kind]}: {shown}{more}."
