"""Settings for every test: one thread, drawn examples that are the same in every run, no network."""

import os

# The tensors are tiny: threads that wait for each other take longer than the work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from hypothesis import settings

settings.register_profile("house", derandomize=True, deadline=None, database=None, max_examples=50)
settings.load_profile("house")
