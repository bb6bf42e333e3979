"""A page with charts and tables as one HTML file that loads nothing from a network."""

import base64
import hashlib
import json
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jinja2

from rlhf_losses.report.charts import DARK, LIGHT, Chart
from rlhf_losses.report.findings import Finding
from rlhf_losses.report.plotly_figures import json_values, plotly_figure

GENERATOR = "rlhf-losses report"
"""Content of the element of a page that names its program."""


@dataclass(frozen=True)
class LongText:
    """A text that is shown folded.

    Attributes:
        text: the text.
        summary: its first words.
    """

    text: str

    @property
    def summary(self) -> str:
        """The first words of the text."""
        line = " ".join(self.text.split())
        return textwrap.shorten(line, SHOWN, placeholder=" …") if " " in line[:SHOWN] else line[:SHOWN]


SHOWN = 120
"""Number of characters of a long text that are always shown."""

Cell: TypeAlias = str | int | float | LongText | None


@dataclass(frozen=True)
class Table:
    """A table that can be sorted by each column.

    Attributes:
        caption: what it contains.
        header: names of the columns.
        rows: the cells of each row; None is an empty cell.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @property
    def numeric(self) -> list[bool]:
        """Whether each column has numbers only."""
        columns = [[row[index] for row in self.rows] for index in range(len(self.header))]
        return [all(isinstance(cell, int | float | None) for cell in column) and bool(column) for column in columns]


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
        title: its title.
        parts: its charts and tables, in order.
        notes: sentences before them.
        findings: findings before them, problems first.
        folded: whether it is closed at first.
    """

    title: str
    parts: Sequence[Chart | Table]
    notes: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    folded: bool = False


def render_page(title: str, sections: Iterable[Section]) -> str:
    """Return a page as HTML.

    Only the scripts of the page itself run: a policy in its head has their hashes. All texts are escaped.

    Args:
        title: title of the page.
        sections: its sections; those without content are left out.
    """
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rlhf_losses.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.tests |= {
        "chart": lambda part: isinstance(part, Chart),
        "long": lambda cell: isinstance(cell, LongText),
    }
    environment.filters |= {"cell": format_cell, "sort_key": _sort_key, "figure": plotly_figure}
    script = environment.get_template("page.js").render()
    plotly = get_plotlyjs()
    return environment.get_template("page.html.jinja").render(
        title=title,
        generator=GENERATOR,
        sections=[one for one in sections if one.parts or one.notes or one.findings],
        light=LIGHT,
        dark=DARK,
        plotly=plotly,
        script=script,
        hashes=[_hash(plotly), _hash(script)],
    )


def format_cell(cell: Cell) -> str:
    """Return a cell as text; numbers have four significant digits.

    Examples:
        >>> format_cell(0.123456), format_cell(1234567.0), format_cell(3), format_cell(None)
        ('0.1235', '1.235e+06', '3', '')
    """
    if isinstance(cell, LongText):
        return cell.text
    if isinstance(cell, float):
        return f"{cell:.4g}" if math.isfinite(cell) else str(cell)
    return "" if cell is None else str(cell)


def _sort_key(cell: Cell) -> str:
    """Return what the script sorts a cell by: a number, or the beginning of a text."""
    return json.dumps(json_values(float(cell))) if isinstance(cell, int | float) else format_cell(cell)[:SHOWN]


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
