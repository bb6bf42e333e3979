"""Fixtures for tests of the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import cli as cli
from command_line import done as done
from command_line import write_rows as write_rows

PAIR = {"prompt": "2 + 2 = ", "chosen": "4", "rejected": "5"}


@pytest.fixture
def pairs_file(write_rows: Callable[..., Path]) -> Path:
    """Return a dataset with one pair."""
    return write_rows(PAIR)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """Return a folder with config and tokenizer of a model, without weights."""
    from rlhf_losses.sandbox.tiny_models import build_tokenizer

    folder = tmp_path / "model"
    build_tokenizer(["two", "and", "is", "four"]).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return folder
