"""The files of a run: which ones are logs, and which of them a report shows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlhf_losses.errors import InvalidFeedbackError, UnreadableDatasetError
from rlhf_losses.report.event_files import EVENT_FILE, read_event_file
from rlhf_losses.report.log_rows import is_log_row, parse_log
from rlhf_losses.report.run_log import RunLog

PREFERRED = ("trainer_state.json", "trainer_log.jsonl", "logging.jsonl")
"""Names of logs of transformers, LLaMA-Factory and ms-swift, which are preferred to other files."""

SUFFIXES = (".jsonl", ".csv", ".tsv", ".json", ".log", ".txt", ".out")
"""Endings of the names of other logs, in the order of preference."""

COMPLETIONS = "completions"
"""Folder in which TRL's trainers save completions."""


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        name: name of its folder or file.
        file: the log.
        log: its metrics.
        other_files: files with logs that are not shown, because the first one has the same metrics or is preferred.
        completions: folder with completions of TRL's trainers; None if there is none.
    """

    name: str
    file: Path
    log: RunLog
    other_files: tuple[Path, ...] = ()
    completions: Path | None = None


def read_run(path: Path) -> Run:
    """Read the log of a run.

    Args:
        path: a log, or a folder that has one.

    Raises:
        UnreadableDatasetError: there is no log.
        InvalidFeedbackError: the log has no metrics.
    """
    if not path.is_dir():
        return Run(path.stem if path.parent == Path() else f"{path.parent.name}/{path.name}", path, read_log(path))
    files = list(log_files(path))
    completions = path / COMPLETIONS if (path / COMPLETIONS).is_dir() else None
    for file in files:
        try:
            log = read_log(file)
        except InvalidFeedbackError:
            continue
        others = tuple(one for one in files if one != file)
        return Run(path.resolve().name, file, log, others, completions)
    seen = f"of {len(files)} files none has metrics" if files else f"it has no file that ends in {', '.join(SUFFIXES)}"
    raise UnreadableDatasetError(
        f"The folder '{path}' has no log of a run: {seen}. Name the folder of a run with trainer_state.json, a log, or "
        "a folder that `rlhf-losses evaluate --output_dir` has written."
    )


def read_log(path: Path) -> RunLog:
    """Read a log.

    Args:
        path: a file of JSON, JSON Lines, CSV, console output or TensorBoard events.

    Raises:
        UnreadableDatasetError: the file cannot be read.
        InvalidFeedbackError: it has no metrics.
    """
    rows = read_event_file(path) if EVENT_FILE in path.name else parse_log(_text(path), path.name.lower())
    if not any(map(is_log_row, rows.rows)):
        raise InvalidFeedbackError(
            f"'{path}' has no row with a step or a known metric, so it is no log of a run. Name a "
            "trainer_state.json, or a log with names such as step, loss and reward."
        )
    return RunLog.of(rows)


def log_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that can be logs, the preferred ones first.

    Args:
        folder: the folder of a run. The `trainer_state.json` of its last checkpoint counts too.
    """
    checkpoints = [one for one in folder.glob("checkpoint-*/trainer_state.json") if one.is_file()]
    yield from (folder / name for name in PREFERRED if (folder / name).is_file())
    yield from sorted(checkpoints, key=_checkpoint_step, reverse=True)[:1]
    yield from sorted(file for file in folder.rglob(f"*{EVENT_FILE}*") if file.is_file())
    for suffix in SUFFIXES:
        yield from sorted(file for file in folder.glob(f"*{suffix}") if file.is_file() and file.name not in PREFERRED)


def _checkpoint_step(file: Path) -> int:
    digits = re.search(r"\d+$", file.parent.name)
    return int(digits[0]) if digits else -1


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableDatasetError(
            f"'{path}' cannot be read: {error.strerror}. Name a file or a folder that exists."
        ) from error
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # the output of a console of Windows
    return content.decode("utf-16" if is_utf16 else "utf-8-sig", errors="replace")
