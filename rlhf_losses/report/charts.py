"""Charts, as data: a page draws them with plotly, a picture with matplotlib."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

LIGHT = ("#1f5fbf", "#c2410c", "#0f766e", "#9333a8", "#8a6d00", "#be185d")
"""Colors on a light background."""

DARK = ("#7fb0ff", "#ff9a6b", "#5fd0bf", "#d79bf0", "#e3c65b", "#ff8fbc")
"""The same on a dark one."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "x", "square")


@dataclass(frozen=True)
class Trace:
    """A line, points, bars or an area of a chart.

    Attributes:
        name: its name in the legend, of one or several lines; traces with equal names belong together.
        x: horizontal positions: numbers, or names of categories.
        y: values; NaN is a gap.
        kind: what is drawn. Areas are stacked and have shares of 100 %.
        color: index of the color; None for an aid such as a diagonal.
        style: index of the dash of a line, or of the symbol of points.
        opacity: from 0 to 1, for all points or for each.
        markers: whether a line has points.
        listed: whether it is in the legend.
        labels: text of each point, shown below the pointer.
        sizes: diameter of each of the points, in pixels.
        low: lower end of the interval of each value, or NaN.
        high: upper end of it.
    """

    name: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    kind: Literal["line", "points", "bars", "area"] = "line"
    color: int | None = 0
    style: int = 0
    opacity: float | Sequence[float] = 1.0
    markers: bool = False
    listed: bool = True
    labels: Sequence[str] = ()
    sizes: Sequence[float] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: what it shows.
        traces: what is drawn, in order.
        x: title of the horizontal axis.
        y: title of the vertical axis.
        note: how to read it.
        categories: whether the horizontal axis has names in place of numbers.
        percent: axes with shares, which are shown in percent: `"y"`, `"xy"` or none.
    """

    title: str
    traces: Sequence[Trace]
    x: str
    y: str
    note: str = ""
    categories: bool = False
    percent: Literal["", "y", "xy"] = ""

    @property
    def scaled(self) -> Sequence[Trace]:
        """The traces, with shares in percent."""
        return [_in_percent(one, self.percent) for one in self.traces]


def _in_percent(trace: Trace, axes: str) -> Trace:
    if "x" in axes:
        trace = replace(trace, x=_times_100(trace.x))
    if "y" in axes:
        trace = replace(trace, y=_times_100(trace.y), low=_times_100(trace.low), high=_times_100(trace.high))
    return trace


def _times_100(shares: Sequence[float] | Sequence[str]) -> list[float]:
    return [100 * float(one) for one in shares]
