"""Models that are trained once per test run, for any number of workers."""

import copy
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from filelock import FileLock

RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
FOLDER = Path(tempfile.gettempdir()) / f"rlhf-losses-tests-{RUN}"
"""Folder of this run; all its workers share it."""


def built_once(name: str, build: Callable[[Path], None]) -> Path:
    """Return a folder that the first worker fills by `build`, while the others wait."""
    folder = FOLDER / name
    FOLDER.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            unfinished = FOLDER / f"{name}.unfinished"
            build(unfinished)
            unfinished.rename(folder)
    return folder


@contextmanager
def one_language_model_per_seed() -> Iterator[None]:
    """While the context lasts, synthetic tasks of one seed get copies of one language model."""
    from rlhf_losses.sandbox import synthetic_task

    with patch.object(synthetic_task, "build_language_model", language_model):
        yield


@contextmanager
def small_synthetic_tasks() -> Iterator[None]:
    """While the context lasts, synthetic tasks have few prompts, and the same language model for every seed."""
    from rlhf_losses import sandbox
    from rlhf_losses.sandbox import synthetic_task

    build = partial(synthetic_task.build_synthetic_task, num_train_prompts=48, num_heldout_prompts=8)
    with (
        patch.object(sandbox, "build_synthetic_task", build),
        patch.object(synthetic_task, "build_language_model", lambda tokenizer, _seed: language_model(tokenizer)),
    ):
        yield


def language_model(_tokenizer: Any, seed: int = 0) -> Any:
    """Return a copy of the language model of the synthetic task with a seed."""
    return copy.deepcopy(_loaded(seed))


@cache
def _loaded(seed: int) -> Any:
    """Return the model of a seed: one training step for the object, and the weights of the full training."""
    import torch

    from rlhf_losses.sandbox.stories import vocabulary
    from rlhf_losses.sandbox.tiny_models import build_language_model, build_tokenizer

    tokenizer = build_tokenizer(vocabulary())

    def train(folder: Path) -> None:
        folder.mkdir()
        torch.save(build_language_model(tokenizer, seed).state_dict(), folder / "weights.pt")

    weights = torch.load(built_once(f"language-model-{seed}", train) / "weights.pt")
    model = build_language_model(tokenizer, seed, steps=1)
    model.load_state_dict(weights)
    return model


def pytest_collection_finish() -> None:
    """Exclude all imported modules from garbage collection, which each training run starts."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the shared models once the last worker is done."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(FOLDER, ignore_errors=True)
