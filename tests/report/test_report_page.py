"""Reports as HTML."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from report_examples import evaluation, policy_run

from rlhf_losses.cli.main import main
from rlhf_losses.report.evaluation_titles import Statistic
from rlhf_losses.report.page import Share, format_cell
from rlhf_losses.report.report_paths import read_report


class Page(HTMLParser):
    """Collects the elements of a page, and the texts of scripts and table cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.charts, self.open, self.warnings = [], {}, [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if self.open and "data-chart" in self.open[-1][1]:
            self.charts[self.open[-1][1]["data-chart"]] = json.loads(data)
        if any(attrs.get("class") == "problem" for _, attrs in self.open):
            self.warnings.append(data.strip())

    def labels(self) -> list[str]:
        """Return the names of the charts and tables."""
        return [attrs["aria-label"] for tag, attrs in self.tags if tag == "div" and "aria-label" in attrs]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Return the folder of a PPO run."""
    return policy_run(tmp_path_factory.mktemp("runs") / "ppo")


@pytest.fixture(scope="module")
def evaluation_folder(tmp_path_factory):
    """Return the folder of an evaluation."""
    return evaluation(tmp_path_factory.mktemp("evaluations") / "model")


@pytest.fixture(scope="module")
def html(run_folder, evaluation_folder):
    """Return a report of a run and an evaluation."""
    return read_report([run_folder, evaluation_folder]).render()


@pytest.fixture(scope="module")
def page(html):
    """Return the parsed report."""
    return Page(html)


def test_charts_of_a_run(page):
    titles = " ".join(page.labels())
    for title in ("Reward.", "Reward against √KL", "Entropy", "Explained variance", "Truncated", "Shares of time"):
        assert title in titles
    (chart,) = [one for one in page.charts.values() if one["layout"]["xaxis"]["title"]["text"].startswith("√KL")]
    (trace,) = chart["data"]
    assert np.allclose(trace["x"], np.arange(1, 101) / 10)
    assert np.allclose(trace["y"], np.arange(1, 101) / 10)
    assert any("entropy is NaN or infinite in 1 of 100 logs" in text for text in page.warnings)


def test_charts_of_an_evaluation(page):
    titles = " ".join(page.labels())
    for title in ("Scores: model", "Score differences: model", "Reliability", "By subset", "Score against length",
                  "Worst-ranked pairs", "Contradictory rows"):  # fmt: skip
        assert title in titles
    names = {trace["name"]: trace for chart in page.charts.values() for trace in chart["data"] if "name" in trace}
    assert sum(names["better answer"]["y"]) if names["better answer"]["type"] == "bar" else True
    counts = {name: sum(names[name]["y"]) for name in ("ranked right", "ranked wrong")}
    assert counts == {"ranked right": 4, "ranked wrong": 3}  # rows 2, 3 and the contradiction


def test_rows_are_counted_in_words_and_empty_texts_are_named(html):
    worst, contradictory = (
        html.split(f'">{title}: model</h2>')[1] for title in ("Worst-ranked pairs", "Contradictory rows")
    )
    assert worst.startswith(
        "\n\n<p>3 of 7 pairs are ranked wrong, 42.9\N{NO-BREAK SPACE}%. Rows are counted from 0: row 3 is row 5 of"
    )
    assert 'data-key="(empty)">(empty)</td>' in worst
    assert contradictory.startswith(
        "\n\n<p>1 of 6 different pairs of answers are judged in both ways. Rows are counted from 0: row 0 is row 2 of"
    )


def test_numbers_within_rounding_of_zero_are_zero():
    noise = Statistic("change")
    assert format_cell(noise.cell(-3.7e-8)) == format_cell(-0.0) == "0"
    assert noise.interval({"low": -2e-7, "high": 1.5e-7}) == "0 to 0"
    assert noise.interval({"low": -2e-5, "high": 0.25}) == "-2e-05 to 0.25"
    assert str(Share(-1e-9)) == "0.0 %"
    assert str(Share(-1e-9, is_difference=True)) == "+0.0 points"


def test_texts_of_a_dataset_do_not_become_elements(page):
    assert sum(tag == "script" for tag, _ in page.tags) == len(page.charts) + 2
    assert not [tag for tag, _ in page.tags if tag in ("img", "b", "link", "iframe")]


def test_nothing_is_loaded_from_a_network(page):
    assert not [attrs for _, attrs in page.tags if "src" in attrs or attrs.get("href", "#")[0] != "#"]
    (policy,) = [attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_the_page_can_be_used_without_a_mouse_and_without_eyes(page):
    tags = [tag for tag, _ in page.tags]
    assert tags.count("caption") == tags.count("table") > 0
    assert all(attrs.get("scope") == "col" for tag, attrs in page.tags if tag == "th")
    assert tags.count("th") == tags.count("button")
    assert all("aria-label" in attrs for _, attrs in page.tags if attrs.get("class") == "chart")
    assert ("html", {"lang": "en"}) in page.tags
    assert any(attrs.get("class") == "skip" for _, attrs in page.tags)


def test_the_command_replaces_reports_only(run_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["report", str(run_folder)]) == 0
    assert "report.html has the report" in capsys.readouterr().out
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["report", str(run_folder), "--output", "notes.txt"]) == 2
    assert "is no report, so it is not replaced" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "absent")]) == 2
    capsys.readouterr()
    (tmp_path / "export.csv").write_text("ticket,best\nq,a\n")
    assert main(["report", "export.csv"]) == 2
    assert "has the columns ticket, best, so it is neither a log" in capsys.readouterr().err


def test_several_runs_have_a_color_each(run_folder):
    page = Page(read_report([run_folder, run_folder]).render())
    reward = next(chart for chart in page.charts.values() if chart["layout"]["yaxis"]["title"]["text"] == "reward")
    assert len({trace["line"]["color"] for trace in reward["data"]}) == 2
