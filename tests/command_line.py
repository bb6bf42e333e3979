"""Fixtures that run the command line in this process and write datasets; imported by the conftest files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., CommandResult]:
    """Run a command; arguments are converted to text."""
    # Imported here: the oldest jaxtyping checks only modules that no conftest has imported.
    from rlhf_losses.cli.main import main

    def run(*argv: object) -> CommandResult:
        capsys.readouterr()
        code = main([str(word) for word in argv])
        out, err = capsys.readouterr()
        return CommandResult(code, out, err)

    return run


@pytest.fixture
def done(cli: Callable[..., CommandResult]) -> Callable[..., CommandResult]:
    """Run a command that must succeed."""

    def run(*argv: object) -> CommandResult:
        result = cli(*argv)
        assert result.code == 0, result.err
        return result

    return run


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON Lines to the temporary folder of the test."""

    def write(*rows: dict[str, object], name: str = "rows.jsonl") -> Path:
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return write
