"""One world for all tests of the sandbox: building it takes seconds, and nothing changes it."""

import pytest

from rlhf_losses.sandbox import Sample, World, build_world


@pytest.fixture(scope="session")
def world() -> World:
    return build_world(seed=0)


@pytest.fixture(scope="session")
def samples(world: World) -> list[Sample]:
    return world.sample(world.heldout_prompts, count=4, seed=1)
