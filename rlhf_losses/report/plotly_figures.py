"""Charts as figures of plotly, which the script of a page draws."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle, islice
from typing import Any

from rlhf_losses.report.charts import DASHES, LIGHT, SYMBOLS, Chart, Trace
from rlhf_losses.report.short_texts import shortened

TITLE = 36
"""Largest number of characters of a line of the title of an axis."""

DISTANCE = 8
"""Pixels between the title of an axis and its numbers."""

WHOLE = (-5, 105)
"""Range of an axis in percent if all values are equal."""

LEGEND, LABEL = 48, 24
"""Largest numbers of characters of a name in the legend and of a category; the tables have the whole texts."""


def plotly_figure(chart: Chart) -> dict[str, Any]:
    """Return a chart as a JSON object; colors such as `color:series-1` are properties of the style sheet.

    Args:
        chart: the chart.
    """
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": _wrapped(chart.x), "standoff": DISTANCE}},
        "yaxis": {"title": {"text": _wrapped(chart.y), "standoff": DISTANCE}},
        "barmode": "overlay",
        "bargap": 0,
        "showlegend": any(one.listed for one in chart.traces),
    }
    if chart.categories:
        layout |= {"xaxis": {**layout["xaxis"], "type": "category"}, "scattermode": "group"}
    for axis in chart.percent:
        layout[f"{axis}axis"] |= {"ticksuffix": " %", "rangemode": "nonnegative"}
    if chart.percent and len({value for one in chart.traces for value in one.y if math.isfinite(value)}) == 1:
        layout["yaxis"]["range"] = WHOLE
    names = _category_names(chart)
    figure: dict[str, Any] = json_values({"data": [_trace(one, names) for one in chart.scaled], "layout": layout})
    return figure


def plain(text: str, limit: int = 1000) -> str:
    """Return a text without what plotly reads as markup, and not longer than a limit.

    Examples:
        >>> plain("<b>")
        '&lt;b&gt;'
    """
    return escape(shortened(text, limit), quote=False)


def _wrapped(title: str) -> str:
    """Return the title of an axis in lines that fit on a phone."""
    return "<br>".join(plain(line) for line in textwrap.wrap(title, TITLE))


def _category_names(chart: Chart) -> dict[str, str]:
    """Return the shown names of categories: short ones, unless two of them would be equal."""
    names = dict.fromkeys(one for trace in chart.traces for one in trace.x if isinstance(one, str))
    short = {name: plain(name, LABEL) for name in names}
    return short if len(set(short.values())) == len(names) else {name: plain(name) for name in names}


def _trace(trace: Trace, names: Mapping[str, str]) -> dict[str, Any]:
    color = "color:muted" if trace.color is None else f"color:series-{trace.color % len(LIGHT) + 1}"
    of_kind = {"line": _line, "area": _area, "points": _points, "bars": _bars}[trace.kind]
    found = {
        "name": "<br>".join(plain(one, LEGEND) for one in trace.name.splitlines()),
        "legendgroup": trace.name,
        "showlegend": trace.listed,
        "x": [names[one] if isinstance(one, str) else one for one in trace.x],
        "y": trace.y,
        **of_kind(trace, color),
    }
    if trace.labels:
        found["hovertext"] = [plain(one) for one in trace.labels]
    if len(trace.low):
        found["error_y"] = _intervals(trace)
    if not trace.listed:
        found["hoverinfo"] = "skip"
    return found


def _line(trace: Trace, color: str) -> dict[str, Any]:
    line = {"color": color, "dash": DASHES[trace.style % len(DASHES)], "width": 2}
    mode = "lines+markers" if trace.markers else "lines"
    return {"type": "scatter", "mode": mode, "line": line, "opacity": trace.opacity}


def _area(_trace: Trace, color: str) -> dict[str, Any]:
    line = {"color": color, "width": 1}
    return {"type": "scatter", "mode": "lines", "stackgroup": "all", "groupnorm": "percent", "line": line}


def _points(trace: Trace, color: str) -> dict[str, Any]:
    marker = {"color": color, "opacity": trace.opacity, "symbol": SYMBOLS[trace.style % len(SYMBOLS)]}
    marker["size"] = trace.sizes or 7
    return {"type": "scatter", "mode": "markers", "marker": marker}


def _bars(trace: Trace, color: str) -> dict[str, Any]:
    pattern = {"shape": next(islice(cycle(("", "/")), trace.style, None)), "solidity": 0.4}
    return {"type": "bar", "opacity": trace.opacity, "marker": {"color": color, "pattern": pattern}}


def _intervals(trace: Trace) -> dict[str, Any]:
    """Return the error bars; values without an interval have none."""
    above = [high - value for value, high in zip(trace.y, trace.high, strict=True)]
    below = [value - low for value, low in zip(trace.y, trace.low, strict=True)]
    known = [math.isfinite(one) for one in above]
    return {
        "type": "data",
        "symmetric": False,
        "thickness": 1,
        "array": [one if ok else 0 for one, ok in zip(above, known, strict=True)],
        "arrayminus": [one if ok else 0 for one, ok in zip(below, known, strict=True)],
    }


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
