"""Numbers of rows in messages and files: positions in the original dataset, also of rows that were converted."""

from collections.abc import Mapping, Sequence
from typing import Any

SOURCE_ROW, SOURCE_ITEM = "source_row", "source_item"
"""Columns of converted rows: the position of their original row, and their index if it gave several rows."""

SHOWN_ROWS = 5
"""Largest number of rows that a message names."""


def source_row(row: Mapping[str, Any], position: int) -> int:
    """Return the number of a row in messages: the position of its original row, or its own one.

    Args:
        row: a row of a dataset, with or without the column `source_row`.
        position: position of the row in its dataset, from 0.

    Examples:
        >>> source_row({"chosen": "4", "source_row": 47}, 33), source_row({"chosen": "4"}, 33)
        (47, 33)
    """
    found = row.get(SOURCE_ROW)
    return found if type(found) is int and found >= 0 else position


def correspond(numbers: Sequence[int]) -> bool:
    """Return whether row numbers are the positions of the rows, so that a column with them is not needed.

    Args:
        numbers: number of each row, in their order.

    Examples:
        >>> correspond([0, 1, 2]), correspond([0, 2]), correspond([0, 0, 1])
        (True, False, False)
    """
    return all(number == position for position, number in enumerate(numbers))


def source_rows(rows: Sequence[Mapping[str, Any]], positions: Sequence[int]) -> list[int]:
    """Return the number of each row in messages, see `source_row`.

    Args:
        rows: rows of a dataset.
        positions: position of each row in its dataset.
    """
    return [source_row(row, position) for row, position in zip(rows, positions, strict=True)]


def listed_rows(numbers: Sequence[int]) -> str:
    """Return the name of rows in a message: their first numbers.

    Args:
        numbers: the row numbers.

    Examples:
        >>> listed_rows([2, 7]), listed_rows(range(7))
        ('rows 2, 7', 'rows 0, 1, 2, 3, 4, …')
    """
    listed = ", ".join([*map(str, numbers[:SHOWN_ROWS]), *(["…"] if len(numbers) > SHOWN_ROWS else [])])
    return f"{'row' if len(numbers) == 1 else 'rows'} {listed}"
