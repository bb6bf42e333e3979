"""A page with charts and tables as one HTML file that loads nothing from a network."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jinja2

from rlhf_losses.messages.percentages import percent
from rlhf_losses.report.charts import DARK, LIGHT, Chart
from rlhf_losses.report.findings import Finding
from rlhf_losses.report.plotly_figures import json_values, plotly_figure
from rlhf_losses.report.short_texts import shortened

GENERATOR = "rlhf-losses report"
"""Content of the element of a page that names its program."""


@dataclass(frozen=True)
class LongText:
    """A text that is shown folded.

    Attributes:
        text: the text.
        shown: the text, or a word in its place if there is nothing to see.
        summary: its first words.
    """

    text: str

    @property
    def shown(self) -> str:
        """The text, or a word in its place if there is nothing to see.

        Examples:
            >>> LongText("").shown, LongText(" \\n").shown, LongText("4").shown
            ('(empty)', '(white space)', '4')
        """
        return self.text if self.text.strip() else "(white space)" if self.text else "(empty)"

    @property
    def summary(self) -> str:
        """The first words of the text."""
        return shortened(self.shown, SHOWN)


SHOWN = 120
"""Number of characters of a long text that are always shown."""


@dataclass(frozen=True)
class Share:
    """A share, shown in percent, or a difference of two shares, shown in percentage points.

    Attributes:
        value: the share or the difference.
        is_difference: whether it is a difference.
    """

    value: float
    is_difference: bool = False

    def __str__(self) -> str:
        """Return the share as text.

        Examples:
            >>> print(Share(0.5), Share(-0.125, is_difference=True), sep=", ")
            50.0 %, -12.5 points
        """
        return f"{100 * self.value:+z.1f} points" if self.is_difference else percent(self.value)


@dataclass(frozen=True)
class Name:
    """What a number is, with its name in files.

    Attributes:
        title: what it is.
        key: its name in files.
    """

    title: str
    key: str


Cell: TypeAlias = str | int | float | Share | Name | LongText | None

LARGE = 1e15
"""Number from which integers are written with an exponent."""

WIDE = 30
"""Number of characters of a text from which its column is wide, also on a phone."""


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
        """Whether most of the cells of each column are numbers."""
        columns = [[row[index] for row in self.rows if row[index] is not None] for index in range(len(self.header))]
        return [2 * sum(map(is_number, column)) > len(column) for column in columns]


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
        "named": lambda cell: isinstance(cell, Name),
        "numeric": is_number,
        "wide": lambda cell: isinstance(cell, LongText) or len(format_cell(cell)) >= WIDE,
    }
    environment.filters |= {"cell": format_cell, "sort_key": _sort_key, "figure": plotly_figure, "unbroken": _unbroken}
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


def is_number(cell: Cell) -> bool:
    """Return whether a cell is a number."""
    return isinstance(cell, int | float | Share)


def format_cell(cell: Cell) -> str:
    """Return a cell as text; numbers that are no integers have four significant digits.

    Examples:
        >>> format_cell(0.123456), format_cell(1234567.0), format_cell(3), format_cell(None)
        ('0.1235', '1234567', '3', '')
    """
    if isinstance(cell, LongText):
        return cell.shown
    if isinstance(cell, Name):
        return cell.title
    if isinstance(cell, float):
        return f"{cell:z.0f}" if cell.is_integer() and abs(cell) < LARGE else f"{cell:.4g}"
    return "" if cell is None else str(cell)


def _sort_key(cell: Cell) -> str:
    """Return what the script sorts a cell by: a number, or the beginning of a text."""
    number = cell.value if isinstance(cell, Share) else cell
    return json.dumps(json_values(float(number))) if isinstance(number, int | float) else format_cell(cell)[:SHOWN]


def _unbroken(text: str) -> str:
    """Return a sentence in which no line begins with a percent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
