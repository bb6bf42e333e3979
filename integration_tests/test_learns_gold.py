"""On clean feedback from the sandbox, every built-in loss recovers the gold ranking."""

import pytest

from rlhf_losses import catalogue
from rlhf_losses.cli.demo import chosen_losses
from rlhf_losses.sandbox import World, build_world
from rlhf_losses.sandbox.annotators import Annotator, rankings
from rlhf_losses.sandbox.demo import train_reward_model
from rlhf_losses.scoring import evaluate

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(seed=0)


@pytest.mark.parametrize("loss", chosen_losses("all", catalogue()), ids=str)
def test_the_loss_recovers_the_gold_ranking(world, loss, tmp_path):
    """Two stories of one held-out prompt are ranked as gold ranks them, nine times in ten."""
    scorer = train_reward_model(world, loss, tmp_path)
    heldout = rankings(world.sample(world.heldout_prompts, 8, seed=9), Annotator())

    assert evaluate(scorer, heldout)["accuracy"] > 0.9
