"""The tests and settings in the checklists of docs/ppo.md exist."""

import dataclasses
import re
from pathlib import Path

import pytest

from rlhf_losses.ppo import PPOConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ppo.md").read_text(encoding="utf-8")
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


def test_the_defaults_are_the_published_ones():
    names = ("beta", "gamma", "lam", "num_iterations", "cliprange_value", "vf_coef", "adam_epsilon")
    published = (0.05, 1.0, 0.95, 4, 0.2, 0.1, 1e-5)
    assert tuple(getattr(PPOConfig, name) for name in names) == published
    defaults = {field.name: field.default for field in dataclasses.fields(PPOConfig)}
    assert defaults["epsilon"] == 0.2
