"""The tests and settings on the pages about PPO exist."""

import dataclasses
import re
from pathlib import Path

import pytest

from rlhf_losses.ppo import PPOConfig
from rlhf_losses.ppo.config import PUBLISHED

ROOT = Path(__file__).parents[2]
PAGE = "".join(
    (ROOT / "docs" / name).read_text("utf-8")
    for name in ("ppo.md", "how-to/ppo-speed-and-memory.md", "explanation/ppo-details.md")
)
FILES = [*(ROOT / "tests/ppo").glob("test_*.py"), *(ROOT / "integration_tests/ppo").glob("test_*.py")]
TESTS = {name for file in FILES for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))}
SETTINGS = {field.name for field in dataclasses.fields(PPOConfig)}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", PAGE))))
def test_each_named_test_exists(name):
    assert name in TESTS


def test_every_setting_of_ppo_is_documented():
    ours = {name for name in PPOConfig.__annotations__ if name in SETTINGS}
    there = set(re.findall(r"\w+", PAGE))
    assert ours - there <= {
        "adam_epsilon",
        "learning_rate",
        "loss_type",
        "num_generations_eval",
        "num_iterations",
        "vf_coef",
    }


def test_each_default_that_is_not_the_published_one_has_a_row_with_its_reason():
    defaults = {field.name: field.default for field in dataclasses.fields(PPOConfig)}
    defaults["learning_rate"] = PUBLISHED["learning_rate"]  # set by the trainer
    different = {name for name, value in PUBLISHED.items() if defaults[name] != value}
    assert "critic_learning_rate_ratio" in different
    table = PAGE.partition("## Defaults")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert different <= set(re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in rows)))
    assert {"lam", "gamma", "num_iterations", "epsilon", "cliprange_value", "vf_coef"}.isdisjoint(different)
