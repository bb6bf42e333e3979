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


def test_the_title_of_an_axis_has_short_lines():
    title = "characters of the better answer − characters of the worse one"
    axis = plotly_figure(Chart("c", [Trace("t", [0.0], [1.0])], title, "<b>"))["layout"]
    lines = axis["xaxis"]["title"]["text"].split("<br>")
    assert " ".join(lines) == title
    assert max(map(len, lines)) <= TITLE
    assert axis["yaxis"]["title"]["text"] == "&lt;b&gt;"
