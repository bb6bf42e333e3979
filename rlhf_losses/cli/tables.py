"""Tables on stdout, made with rich."""

import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNLIMITED = 100_000
"""Width of a table that is written to a pipe or a file, which has no right margin."""


def make_table(rows: Iterable[Sequence[str]], header: Sequence[str] = (), right: Sequence[int] = ()) -> Table:
    """Return a table without lines. The text of a cell is shown as it is: rich markup in it has no effect.

    Args:
        rows: cells of each row.
        header: titles of the columns; without them there is no header.
        right: indices of columns that are aligned at the right.
    """
    cells = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=bool(header), header_style="bold")
    for index in range(max(map(len, cells), default=0)):
        title = Text(header[index]) if header else ""
        table.add_column(title, justify="right" if index in right else "left")
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def shorten_columns(table: Table, indices: Iterable[int]) -> None:
    """Cut the cells of some columns where the table is too wide; each row stays on one line.

    Args:
        table: the table.
        indices: indices of the columns that may be cut. All others keep their width.
    """
    cut = set(indices)
    for index, column in enumerate(table.columns):
        column.no_wrap = index not in cut
        for cell in column.cells:
            if isinstance(cell, Text):
                cell.no_wrap, cell.overflow = True, "ellipsis"


def render_table(table: Table, width: int | None = None) -> str:
    """Return a table as text, without spaces at the ends of lines.

    Args:
        table: the table.
        width: greatest width in characters; by default that of the terminal, or unlimited if stdout is no terminal.
    """
    if width is None and not sys.stdout.isatty():
        width = _UNLIMITED
    console = Console(width=width)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def key_value_table(values: Mapping[str, object]) -> Table:
    """Return a table of two columns: keys and values.

    Examples:
        >>> print(render_table(key_value_table({"rows": 8, "duplicate rows": 0})))
        rows            8
        duplicate rows  0
    """
    return make_table([key, str(value)] for key, value in values.items())
