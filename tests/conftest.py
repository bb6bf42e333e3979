"""Settings for every test: one thread, the same drawn examples in every run, no network."""

import os

# The tensors are tiny: synchronizing threads takes longer than the computation.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CI", "1")

from collections.abc import Iterator

import pytest
from hypothesis import settings
from shared_models import pytest_collection_finish as pytest_collection_finish
from shared_models import pytest_sessionfinish as pytest_sessionfinish

settings.register_profile("ci", derandomize=True, deadline=None, database=None, max_examples=12)
settings.register_profile("fast", settings.get_profile("ci"), max_examples=10)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """Switch off the checks of annotated shapes, for tests that call a loss thousands of times and check its shapes."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
