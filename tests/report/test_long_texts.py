"""Texts and titles of a page: short ones are whole, long ones are cut at words."""

from rlhf_losses.report.charts import Chart, Trace
from rlhf_losses.report.page import SHOWN, LongText
from rlhf_losses.report.plotly_figures import TITLE, plotly_figure


def test_a_summary_ends_with_a_word():
    words = [f"word{n}" for n in range(100)]
    shown = LongText(" ".join(words)).summary
    assert len(shown) <= SHOWN
    assert shown.removesuffix(" …").split() == words[: len(shown.split()) - 1]
    assert LongText("short").summary == "short"
    assert len(LongText("x" * 500).summary) == SHOWN


def test_long_names_of_categories_remain_different():
    names = [f"a subset with a long name {n}" for n in range(2)]
    (trace,) = plotly_figure(Chart("c", [Trace("t", names, [1.0, 2.0])], "x", "y", categories=True))["data"]
    assert trace["x"] == names


def test_shares_are_drawn_in_percent():
    chart = Chart("c", [Trace("t", [0.0], [0.25], low=[0.125], high=[0.5])], "x", "y", percent="y")
    (trace,) = plotly_figure(chart)["data"]
    assert (trace["x"], trace["y"], trace["error_y"]["array"], trace["error_y"]["arrayminus"]) == (
        [0],
        [25],
        [25],
        [12.5],
    )


def test_the_title_of_an_axis_has_short_lines():
    title = "characters of the better answer − characters of the worse one"
    axis = plotly_figure(Chart("c", [Trace("t", [0.0], [1.0])], title, "<b>"))["layout"]
    lines = axis["xaxis"]["title"]["text"].split("<br>")
    assert " ".join(lines) == title
    assert max(map(len, lines)) <= TITLE
    assert axis["yaxis"]["title"]["text"] == "&lt;b&gt;"
