"""Running the command line in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rlhf_losses.cli.main import main
from rlhf_losses.sandbox.tiny_models import build_tokenizer

PAIR = {"prompt": "2 + 2 = ", "chosen": "4", "rejected": "5"}


@dataclass(frozen=True)
class Answered:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answered]:
    """Run the command line; every argument is turned into text."""

    def run(*argv: object) -> Answered:
        capsys.readouterr()
        code = main([str(word) for word in argv])
        out, err = capsys.readouterr()
        return Answered(code, out, err)

    return run


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON Lines into a folder of this test."""

    def write(*rows: dict[str, object], name: str = "rows.jsonl") -> Path:
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return write


@pytest.fixture
def pairs_file(write_rows: Callable[..., Path]) -> Path:
    """Return a file with one pair."""
    return write_rows(PAIR)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """Return a folder that looks like a model, as far as it is looked at before the weights are loaded."""
    folder = tmp_path / "model"
    build_tokenizer(["two", "and", "is", "four"]).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return folder
