"""On clean feedback from the sandbox, every built-in loss recovers the gold ranking."""

import pytest
from datasets import Dataset
from thorough_cases import with_thorough

from rlhf_losses import loss_registry, parse_loss
from rlhf_losses.cli.demo import select_losses
from rlhf_losses.sandbox import Annotator, Sample, SyntheticTask, build_synthetic_task, feedback_for
from rlhf_losses.sandbox.loop import train_on_feedback
from rlhf_losses.sandbox.simulated_feedback import rankings
from rlhf_losses.scoring import evaluate

USUAL = ["plackett_luce", "segment_hinge"]
"""A loss of rankings and one of steps."""

OTHERS = [text for text in map(str, select_losses("all", loss_registry())) if text not in USUAL]


@pytest.fixture(scope="module")
def task() -> SyntheticTask:
    return build_synthetic_task(seed=0)


@pytest.fixture(scope="module")
def stories(task: SyntheticTask) -> list[Sample]:
    """Return the completions that the feedback for every loss is about."""
    return task.sample(task.train_prompts[:128], 8)


@pytest.fixture(scope="module")
def heldout(task: SyntheticTask) -> Dataset:
    return rankings(task.sample(task.heldout_prompts, 8, seed=9), Annotator())


@pytest.mark.parametrize("text", with_thorough(USUAL, OTHERS))
def test_the_loss_recovers_the_gold_ranking(task, stories, heldout, text, tmp_path):
    """In nine of ten cases, two stories of one held-out prompt are ranked as by gold."""
    loss = parse_loss(text)
    scorer = train_on_feedback(task, loss, feedback_for(loss, stories), tmp_path)

    assert evaluate(scorer, heldout)["accuracy"] > 0.9
