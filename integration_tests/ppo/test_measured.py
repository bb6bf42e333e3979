"""The benchmarks of PPO's layouts and memory run, on the smallest models, to the tables that they promise."""

from pathlib import Path

import pytest
from scripts import printed_by

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.once


def run(script, *arguments):
    return printed_by(BENCHMARKS / script, "--hidden_size", "64", "--layers", "1", *arguments)


def test_layouts_are_measured_beside_the_padded_one():
    printed = run("ppo_layout.py", "--longest_prompt", "20", "--completion", "4", "--steps", "1", "--rounds", "1")
    rows = [line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("| `")]
    assert rows == ["`padded`", "`packed`", "`prefix_shared`"]
    padded = next(line for line in printed.splitlines() if line.startswith("| `padded`"))
    assert padded.endswith("| 1.00 | 1.00 |")


def test_one_base_holds_less_than_four_models():
    lines = run("ppo_memory.py").splitlines()[2:]
    held = {line[:13].strip(): float(line[13:].split()[0]) for line in lines}
    assert list(held) == ["one base", "two bases", "four models"]
    assert held["one base"] < held["two bases"] < held["four models"]
