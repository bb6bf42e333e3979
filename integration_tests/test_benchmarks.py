"""The benchmarks run: on the smallest model, for one round, to the table that they promise."""

import csv
import doctest
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_losses.hooks.builtins import provide_losses

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
STORIES = Path(__file__).parents[2] / "shared" / "models" / "TinyStories-656K"

pytestmark = pytest.mark.once


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(BENCHMARKS / script), *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("what", "contestants"), [("pairs", 5), ("lists", 6), ("scoring", 4)])
def test_the_layouts_are_measured_beside_trl(tmp_path, what, contestants):
    table = tmp_path / "layouts.csv"
    printed = run(
        "layouts.py", "--size", "tiny", "--rounds", "1", "--pair_steps", "1", "--batch", "2", "--only", what,
        "--output", str(table),
    )  # fmt: skip
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == contestants
    assert rows[0]["contestant"].startswith("TRL")
    assert all(row["contestant"] in printed and float(row["seconds"]) > 0 for row in rows)
    shared = next(row for row in rows if row["contestant"] == "rlhf_losses, prefix_shared")
    assert int(shared["tokens"]) < int(rows[0]["tokens"]) / 2


def test_what_is_kept_of_frozen_layers_changes_no_loss():
    printed = run("frozen.py", "--size", "tiny", "--rows", "16", "--losses", "bradley_terry", "hinge")
    lines = [line.split("|") for line in printed.splitlines() if line.startswith("| ")][1:]
    assert [line[1].strip() for line in lines] == ["nothing", "epochs", "epochs and losses"]
    assert len({line[-2] for line in lines}) == 1


def test_the_picture_of_growth_is_drawn_from_its_table(tmp_path):
    (tmp_path / "growth.csv").write_text((BENCHMARKS / "results" / "growth.csv").read_text())
    run("growth.py", "--draw", "--output", str(tmp_path))
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_what_a_lower_bound_changes_is_told_as_the_page_has_it():
    """The plugin that it measures is needed for new runs only."""
    printed = run("lower_bound.py", "--draw", "--output", str(BENCHMARKS / "results"))
    page = (BENCHMARKS.parent / "docs" / "measured.md").read_text(encoding="utf-8")
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(lines) == 14
    assert all(f"\n{line}\n" in page for line in lines)


@pytest.mark.parametrize("table", ["ppo_losses.csv", "ppo_stories.csv"])
def test_what_every_loss_is_worth_to_ppo_is_told_as_the_page_has_it(table):
    printed = run("ppo_losses.py", "--draw", "--output", str(BENCHMARKS / "results" / table))
    page = (BENCHMARKS.parent / "docs" / "measured.md").read_text(encoding="utf-8")
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(lines) > 20
    assert all(f"\n{line}\n" in page for line in lines)


PPO_RUNS = {
    "ppo_beside": ["--seeds", "1", "--rollouts", "1", "--learning_rates", "1e-3", "--betas", "0.1"],
    "ppo_overoptimization": [
        *["--seeds", "1", "--rollouts", "2", "--losses", "hinge", "--prompts", "4"],
        *["--epochs", "1", "--completions", "8"],
    ],
    "ppo_dense": ["--seeds", "1", "--rollouts", "2", "--critics", "nothing"],
    "noise": ["--seeds", "1", "--studies", "ties", "--losses", "davidson"],
}


@pytest.mark.parametrize("name", PPO_RUNS)
def test_a_small_run_prints_writes_and_draws(tmp_path, name):
    printed = run(f"{name}.py", *PPO_RUNS[name], "--output", str(tmp_path))
    rows = list(csv.DictReader((tmp_path / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
    first = next(iter(rows[0]))
    assert {row[first] for row in rows} == {row[first] for row in rows if row[first] in printed}
    assert len(rows) > 1
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_losses_are_measured_beside_models_and_over_lengths(tmp_path):
    table = tmp_path / "losses.csv"
    printed = run(
        "losses.py", "--rows", "2", "--tokens", "8", "--answers", "16", "--longest", "8", "--repeats", "1",
        "--model_repeats", "1", "--output", str(table),
    )  # fmt: skip
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    beside = {row["loss"] for row in rows if not row["length"]}
    assert beside == {kind.name() for kind in provide_losses()}
    assert all(float(row["share_of_tiny"]) > float(row["share_of_16M"]) > 0 for row in rows if not row["length"])
    assert [row["length"] for row in rows if row["loss"] == "plackett_luce"] == ["", "2", "4", "8"]
    assert all(f"`{loss}`" in printed for loss in beside)
    assert printed.count("every two answers are compared") == 3


@pytest.mark.parametrize("name", PPO_RUNS)
def test_the_pictures_are_drawn_from_the_committed_numbers(tmp_path, name):
    (tmp_path / f"{name}.csv").write_text((BENCHMARKS / "results" / f"{name}.csv").read_text(encoding="utf-8"))
    assert run(f"{name}.py", "--draw", "--output", str(tmp_path))
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


@pytest.mark.skipif(not STORIES.exists(), reason="the real model is not part of the project")
def test_the_loop_runs_around_a_real_language_model(tmp_path):
    table = tmp_path / "stories.csv"
    told = ["--model", str(STORIES), "--losses", "hinge", "--seeds", "2", "--steps", "2", "--output", str(table)]
    assert "| `hinge` |" in run("ppo_losses.py", *told)
    (row,) = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    assert -1 <= float(row["gold_before"]) <= 1
    assert float(row["gain_low"]) <= float(row["gain"]) <= float(row["gain_high"])


@pytest.mark.parametrize("script", ["laws", "noise", "ppo_dense", "seeds", "stories", "watch"])
def test_the_examples_of_a_script_are_true(script, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = doctest.testmod(importlib.import_module(script))
    assert found.attempted > 0
    assert not found.failed
