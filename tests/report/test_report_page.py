"""Reports as HTML."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from scored_datasets import pair, scored_data

from rlhf_losses.cli.main import main
from rlhf_losses.evaluation.output_folder import write_evaluation
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.scored_data import DroppedRows
from rlhf_losses.report.report_paths import read_report

ATTACK = "</script><script>document.title = 'attacked'</script><img src=x onerror=\"document.title='attacked'\">"


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
    """Return the folder of a PPO run with NaN, unknown names and completions."""
    folder = tmp_path_factory.mktemp("runs") / "ppo"
    (folder / "completions").mkdir(parents=True)
    rows = [
        {"step": step, "reward": step / 10, "kl_per_completion": step**2 / 100, "entropy": "NaN" if step == 3 else 1.0,
         "value/explained_variance": 0.5, "completions/clipped_ratio": 0.0, "time/update": 0.25,
         "time/generation": 0.75,
         f"<b>{ATTACK}": 1.0}
        for step in range(1, 101)
    ]  # fmt: skip
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
    for step in (1, 50, 100):
        table = {"step": [step], "prompt": ["Once"], "completion": [f"{ATTACK} at {step}"], "reward": [0.5]}
        pyarrow.parquet.write_table(pyarrow.table(table), folder / "completions" / f"completions_{step:05d}.parquet")
    return folder


@pytest.fixture(scope="module")
def evaluation_folder(tmp_path_factory):
    """Return the folder of an evaluation of pairs, of which two contradict each other."""
    rows = [pair(f"{ATTACK} {n}", f"better {n} {ATTACK}", f"worse {n}", subset=ATTACK) for n in range(6)]
    rows.append(pair(f"{ATTACK} 0", "worse 0", f"better 0 {ATTACK}", subset="other"))
    scores = [2.0, 1.0, 3.0, 0.0, 1.0, 1.5, 0.5, 4.0, 2.0, 1.0, 1.0, 0.0, 1.0, 2.0]
    found = Evaluation.of(scored_data(rows, scores, by=["subset"]), DroppedRows(given=7), {"accuracy": 4 / 7}, False)
    folder = tmp_path_factory.mktemp("evaluations") / "model"
    write_evaluation(folder, {"model": ATTACK, **found.to_dict()}, found.rows)
    return folder


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


def test_several_runs_have_a_color_each(run_folder):
    page = Page(read_report([run_folder, run_folder]).render())
    reward = next(chart for chart in page.charts.values() if chart["layout"]["yaxis"]["title"]["text"] == "reward")
    assert len({trace["line"]["color"] for trace in reward["data"]}) == 2


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PROBE = """
<script>addEventListener("load", () => setTimeout(() => {
  document.querySelectorAll("details").forEach(one => { one.open = true; });
  const button = document.querySelectorAll("th button")[0]; button.click(); button.click();
  setTimeout(() => {
    const charts = [...document.querySelectorAll(".chart")];
    document.body.dataset.result = JSON.stringify({
      title: document.title, charts: charts.length,
      drawn: charts.filter(one => one.querySelector("svg.main-svg")).length,
      sorted: document.querySelector("th").getAttribute("aria-sort"),
      errors: window.errors, wide: document.documentElement.scrollWidth - innerWidth,
    });
  }, 500);
}, 0));</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_in_a_browser_every_chart_is_drawn_and_no_text_runs(html, tmp_path):
    """The page with a script that looks at it, which its policy would not let run."""
    file = tmp_path / "report.html"
    without_policy = re.sub(r"<meta http-equiv[^>]*>", "<script>window.errors = []; "
                            "addEventListener('error', e => errors.push(e.message))</script>", html)  # fmt: skip
    file.write_text(without_policy.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,844",
               f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000", "--dump-dom",
               file.as_uri()]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    (text,) = [dict(attrs)["data-result"] for tag, attrs in Page(dom).tags if "data-result" in attrs]
    result = json.loads(text)
    assert result["errors"] == []
    assert result["title"].startswith("Report: model, ppo")
    assert result["drawn"] == result["charts"] > 10
    assert result["sorted"] == "descending"
    assert result["wide"] <= 0
