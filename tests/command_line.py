"""The command line in this process, and files of rows for it; conftests import these fixtures for their tests."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Answered:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answered]:
    """Run the command line; every argument is turned into text."""
    # Not above: the oldest jaxtyping checks only what no conftest has imported.
    from rlhf_losses.cli.main import main

    def run(*argv: object) -> Answered:
        capsys.readouterr()
        code = main([str(word) for word in argv])
        out, err = capsys.readouterr()
        return Answered(code, out, err)

    return run


@pytest.fixture
def done(cli: Callable[..., Answered]) -> Callable[..., Answered]:
    """Run the command line, which must succeed."""

    def run(*argv: object) -> Answered:
        answered = cli(*argv)
        assert answered.code == 0, answered.err
        return answered

    return run


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON Lines into a folder of this test."""

    def write(*rows: dict[str, object], name: str = "rows.jsonl") -> Path:
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return write
