"""On clean feedback from the sandbox, every built-in loss recovers the gold ranking."""

import pytest
from datasets import Dataset

from rlhf_losses import loss_registry
from rlhf_losses.cli.demo import chosen_losses
from rlhf_losses.sandbox import Sample, World, build_world, feedback_for
from rlhf_losses.sandbox.annotators import Annotator, rankings
from rlhf_losses.sandbox.loop import train_on_feedback
from rlhf_losses.scoring import evaluate

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(seed=0)


@pytest.fixture(scope="module")
def stories(world: World) -> list[Sample]:
    """Return the stories that every loss is told about, each in feedback of its own."""
    return world.sample(world.train_prompts, 8)


@pytest.fixture(scope="module")
def heldout(world: World) -> Dataset:
    return rankings(world.sample(world.heldout_prompts, 8, seed=9), Annotator())


@pytest.mark.parametrize("loss", chosen_losses("all", loss_registry()), ids=str)
def test_the_loss_recovers_the_gold_ranking(world, stories, heldout, loss, tmp_path):
    """Two stories of one held-out prompt are ranked as gold ranks them, nine times in ten."""
    scorer = train_on_feedback(world, loss, feedback_for(loss, stories), tmp_path)

    assert evaluate(scorer, heldout)["accuracy"] > 0.9
