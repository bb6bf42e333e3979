"""Charts as pictures without a browser, for model cards and TensorBoard."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlhf_losses.report.charts import LIGHT, Chart, Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 5.2, 3.6
"""Inches of a chart."""

COLUMNS = 2
"""Number of charts side by side."""

MUTED = "#5b636d"
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (9, 3)), (0, (9, 3, 2, 3)))
SYMBOLS = ("o", "x", "s")


def draw(charts: Sequence[Chart]) -> "Figure":
    """Return charts as a figure of matplotlib.

    Args:
        charts: the charts, at least one.
    """
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(charts))
    rows = -(-len(charts) // columns)
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows), layout="constrained")
    places = np.atleast_1d(figure.subplots(rows, columns)).reshape(-1)
    for chart, axes in zip(charts, places, strict=False):
        _draw_chart(chart, axes)
    for axes in places[len(charts) :]:
        axes.set_axis_off()
    return figure


def write_picture(charts: Sequence[Chart], file: Path) -> None:
    """Draw charts into a file.

    Args:
        charts: the charts, at least one.
        file: the file, whose ending is the format: `.png` or `.svg`.
    """
    import matplotlib

    metadata: dict[str, Any] = {"Date": None} if file.suffix == ".svg" else {}  # equal charts give equal files
    with matplotlib.rc_context({"svg.hashsalt": "rlhf-losses"}):
        draw(charts).savefig(file, dpi=120, metadata=metadata)


def _draw_chart(chart: Chart, axes: "Axes") -> None:
    traces = chart.scaled
    areas = [one for one in traces if one.kind == "area"]
    if areas:
        _draw_shares(areas, axes)
    for trace in traces:
        if trace.kind != "area":
            _draw_trace(trace, axes)
    axes.set_title(_text(chart.title), fontsize=11)
    axes.set_xlabel(_text(chart.x))
    axes.set_ylabel(_text(chart.y))
    for axis in chart.percent:
        (axes.xaxis if axis == "x" else axes.yaxis).set_major_formatter("{x:g} %")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    if chart.categories:
        axes.tick_params(axis="x", rotation=30)
    if any(one.listed for one in chart.traces):
        axes.legend(fontsize=8)


def _draw_shares(areas: Sequence[Trace], axes: "Axes") -> None:
    values = np.array([one.y for one in areas], dtype=float)
    colors = [LIGHT[(one.color or 0) % len(LIGHT)] for one in areas]
    labels = [_text(one.name) for one in areas]
    axes.stackplot(np.asarray(areas[0].x), 100 * values / values.sum(axis=0), labels=labels, colors=colors)


def _draw_trace(trace: Trace, axes: "Axes") -> None:
    color = MUTED if trace.color is None else LIGHT[trace.color % len(LIGHT)]
    label = _text(trace.name) if trace.listed else None
    x, y = np.asarray(trace.x), np.asarray(trace.y, dtype=float)
    if trace.kind == "bars":
        width = float(np.diff(np.asarray(trace.x, dtype=float)).min()) if len(x) > 1 else 1.0
        axes.bar(x, y, width, color=color, alpha=0.6, label=label)
    elif trace.kind == "points":
        alpha: Any = trace.opacity  # a number or one for each point
        area = (np.asarray(trace.sizes) / 2) ** 2 if trace.sizes else 14
        axes.scatter(x, y, s=area, color=color, alpha=alpha, marker=SYMBOLS[trace.style % len(SYMBOLS)], label=label)
    else:
        marker = "o" if trace.markers else ""
        line = DASHES[trace.style % len(DASHES)]
        axes.plot(x, y, line, color=color, alpha=trace.opacity, marker=marker, markersize=4, label=label)
    if len(trace.low):
        ends = np.abs(np.stack([y - np.asarray(trace.low), np.asarray(trace.high) - y]))
        axes.errorbar(x, y, np.nan_to_num(ends), fmt="none", color=color, linewidth=1)


def _text(text: str) -> str:
    """Return a text in which a dollar sign begins no formula."""
    return text.replace("$", r"\$")
