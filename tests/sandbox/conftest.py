"""One synthetic task for all tests of the sandbox: building it takes seconds, and no test changes it."""

import pytest
from shared_models import one_language_model_per_seed

from rlhf_losses.sandbox import Sample, SyntheticTask, build_synthetic_task


@pytest.fixture(scope="session")
def task() -> SyntheticTask:
    with one_language_model_per_seed():
        return build_synthetic_task(seed=0)


@pytest.fixture(scope="session")
def samples(task: SyntheticTask) -> list[Sample]:
    return task.sample(task.heldout_prompts, count=4, seed=1)
