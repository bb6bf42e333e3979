"""A page with charts and tables as one HTML file that loads nothing from a network."""

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jinja2

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
        return line if len(line) <= SHOWN else f"{line[:SHOWN]} …"


SHOWN = 120
"""Number of characters of a long text that are always shown."""

Cell: TypeAlias = str | int | float | LongText | None
Trace: TypeAlias = Mapping[str, Any]


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


@dataclass(frozen=True)
class Chart:
    """A chart of plotly.

    Attributes:
        title: what it shows.
        traces: traces of plotly; a color such as `color:series-1` is a property of the style sheet.
        x: title of the horizontal axis.
        y: title of the vertical axis.
        note: how to read it.
        layout: further layout of plotly.
    """

    title: str
    traces: Sequence[Trace]
    x: str
    y: str
    note: str = ""
    layout: Mapping[str, Any] | None = None

    @property
    def figure(self) -> dict[str, Any]:
        """The figure as a JSON object without NaN and infinity."""
        found: dict[str, Any] = json_values({"data": self.traces, "layout": self.full_layout})
        return found

    @property
    def full_layout(self) -> dict[str, Any]:
        """The layout with the titles of the axes."""
        layout: dict[str, Any] = {**(self.layout or {})}
        layout["xaxis"] = {"title": {"text": self.x}, **layout.get("xaxis", {})}
        layout["yaxis"] = {"title": {"text": self.y}, **layout.get("yaxis", {})}
        return layout


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
        title: its title.
        parts: its charts and tables, in order.
        notes: sentences before them.
        warnings: sentences that are shown prominently.
        folded: whether it is closed at first.
    """

    title: str
    parts: Sequence[Chart | Table]
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    folded: bool = False


def render_page(title: str, sections: Iterable[Section]) -> str:
    """Return a page as HTML.

    Only the scripts of the page itself run: a policy in its head has their hashes. All texts are escaped.

    Args:
        title: title of the page.
        sections: its sections; those without parts, notes and warnings are left out.
    """
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rlhf_losses.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.tests |= {
        "chart": lambda part: isinstance(part, Chart),
        "long": lambda cell: isinstance(cell, LongText),
    }
    environment.filters |= {"cell": format_cell, "sort_key": _sort_key}
    script = environment.get_template("page.js").render()
    plotly = get_plotlyjs()
    return environment.get_template("page.html.jinja").render(
        title=title,
        generator=GENERATOR,
        sections=[one for one in sections if one.parts or one.notes or one.warnings],
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


def json_values(value: Any) -> Any:
    """Return a value for JSON: NaN and infinity are null, and numbers have six significant digits.

    Args:
        value: numbers, strings, sequences and mappings.

    Examples:
        >>> json_values({"x": (1, float("nan"), 0.12345678)})
        {'x': [1, None, 0.123457]}
    """
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: json_values(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [json_values(one) for one in value]
    return value


def _sort_key(cell: Cell) -> str:
    """Return what the script sorts a cell by: a number, or the beginning of a text."""
    return json.dumps(json_values(float(cell))) if isinstance(cell, int | float) else format_cell(cell)[:SHOWN]


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
