"""The files of a run: which ones are logs, and which of them a report shows."""

import bz2
import gzip
import lzma
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf_losses.errors import InvalidFeedbackError, UnreadableDatasetError, first_line
from rlhf_losses.report.console_logs import parse_console
from rlhf_losses.report.event_files import EVENT_FILE, read_event_file
from rlhf_losses.report.json_logs import parse_json_log
from rlhf_losses.report.log_rows import LogRow, LogRows, is_log_row, number
from rlhf_losses.report.run_log import RunLog
from rlhf_losses.report.table_logs import parse_csv, read_parquet, read_trackio

PREFERRED = ("trainer_state.json", "trainer_log.jsonl", "logging.jsonl")
"""Names of logs of transformers, LLaMA-Factory and ms-swift, which are preferred to other files."""

SUFFIXES = (".jsonl", ".csv", ".tsv", ".log", ".txt", ".out", ".parquet", ".db", ".json")
"""Endings of the names of other logs, in the order of preference; many JSON files are settings."""

COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}
"""Endings of compressed files after the others, and the functions that decompress them."""

RUN_NAMES = ("run_name", "run", "run_id", "experiment")
"""Columns with the name of the run, in logs of several runs."""

COMPLETIONS = "completions"
"""Folder in which TRL's trainers save completions."""


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        name: name of its folder or file.
        file: the log, or the first of its event files.
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
    """Read the first run of a log or a folder; see `read_runs`.

    Args:
        path: a log, or a folder that has one.
    """
    return read_runs(path)[0]


def read_runs(path: Path) -> list[Run]:
    """Read the runs of a log or a folder.

    A folder has one run if it has a log of transformers, LLaMA-Factory or ms-swift. Otherwise each of its folders with
    event files is one, or else each of its logs with the same ending, or else each of its folders.

    Args:
        path: a log, or a folder that has one.

    Raises:
        UnreadableDatasetError: there is no log.
        InvalidFeedbackError: the log has no metrics.
    """
    if not path.is_dir():
        name = path.stem if path.parent == Path() else f"{path.parent.name}/{path.name}"
        return [Run(name, path, log) if one is None else Run(one, path, log) for one, log in read_logs([path])]
    runs = _runs_of_folder(path) or [run for folder in _subfolders(path) for run in _runs_of_folder(folder)]
    if runs:
        return runs
    files = list(log_files(path))
    seen = f"of {len(files)} files none has metrics" if files else f"it has no file that ends in {', '.join(SUFFIXES)}"
    raise UnreadableDatasetError(
        f"The folder '{path}' has no log of a run: {seen}. Name the folder of a run with trainer_state.json, a log, or "
        "a folder that `rlhf-losses evaluate --output_dir` has written."
    )


def read_logs(files: Sequence[Path]) -> list[tuple[str | None, RunLog]]:
    """Read the logs of one run, or of several whose rows have their names; return the names and the logs.

    Args:
        files: files of JSON, JSON Lines, CSV, Parquet, console output or TensorBoard events, or a database of Trackio;
            all but TensorBoard's can be compressed.

    Raises:
        UnreadableDatasetError: a file cannot be read.
        InvalidFeedbackError: there are no metrics.
    """
    parts = [_rows(file) for file in files]
    rows = LogRows(tuple(row for part in parts for row in part.rows), sum(part.unread for part in parts))
    if not any(map(is_log_row, rows.rows)):
        raise InvalidFeedbackError(
            f"'{files[0]}' has no row with a step or a known metric, so it is no log of a run. Name a "
            "trainer_state.json, or a log with names such as step, loss and reward."
        )
    return [(name, RunLog.of(part)) for name, part in _by_run(rows)]


def read_log(path: Path) -> RunLog:
    """Read the log of one run; see `read_logs`.

    Args:
        path: the file.
    """
    return read_logs([path])[0][1]


def log_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that can be logs, the preferred ones first.

    Args:
        folder: the folder of a run. The `trainer_state.json` of its last checkpoint counts too.
    """
    checkpoints = [one for one in folder.glob("checkpoint-*/trainer_state.json") if one.is_file()]
    yield from (folder / name for name in PREFERRED if (folder / name).is_file())
    yield from sorted(checkpoints, key=_checkpoint_step, reverse=True)[:1]
    yield from _event_files(folder)
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name not in PREFERRED)
    for suffix in SUFFIXES:
        yield from (file for file in files if _uncompressed_name(file).endswith(suffix))


def _runs_of_folder(folder: Path) -> list[Run]:
    """Return the runs of a folder without its subfolders; none if no file has metrics."""
    files = list(log_files(folder))
    completions = folder / COMPLETIONS if (folder / COMPLETIONS).is_dir() else None
    for group in _groups(folder, files):
        runs = []
        for part in group:
            others = tuple(file for file in files if not any(file in one for one in group))
            for name, log in _readable_logs(part):
                own = part[0].parent if EVENT_FILE in part[0].name else part[0]
                place = folder.resolve().name if len(group) == 1 or own == folder else _below(folder, own)
                shown = place if name is None else f"{place}/{name}"
                runs.append(Run(shown, part[0], log, others, completions))
        if runs:
            return runs
    return []


def _groups(folder: Path, files: Sequence[Path]) -> Iterator[list[list[Path]]]:
    """Yield files that are read together: lists of runs, of which each is a list of files."""
    preferred = [file for file in files if file.name in PREFERRED]
    yield from ([[file]] for file in preferred)
    events: dict[Path, list[Path]] = defaultdict(list)
    for file in _event_files(folder):
        events[file.parent].append(file)
    yield list(events.values())
    others = [file for file in files if file not in preferred and EVENT_FILE not in file.name]
    for suffix in SUFFIXES:
        alike = [[file] for file in others if _uncompressed_name(file).endswith(suffix)]
        yield from ([one] for one in alike) if suffix == ".json" else [alike]  # other JSON files are often settings


def _readable_logs(files: Sequence[Path]) -> list[tuple[str | None, RunLog]]:
    try:
        return read_logs(files)
    except InvalidFeedbackError:
        return []


def _rows(path: Path) -> LogRows:
    name = _uncompressed_name(path)
    if EVENT_FILE in path.name:
        return read_event_file(path)
    if name.endswith((".parquet", ".db")):
        return read_parquet(path) if name.endswith(".parquet") else read_trackio(path)
    text = _text(path)
    if name.endswith((".csv", ".tsv")):
        return parse_csv(text, Path(name).stem)
    return parse_json_log(text) or parse_console(text)


def _by_run(rows: LogRows) -> Iterator[tuple[str | None, LogRows]]:
    """Yield the rows of each run, if a column has several names of runs."""
    for column in RUN_NAMES:
        names = {str(row[column]) for row in rows.rows if row.get(column) is not None}
        if len(names) > 1 and all(number(name) is None for name in names):
            for index, name in enumerate(sorted(names)):
                own = [row for row in rows.rows if str(row.get(column)) == name]
                yield name, LogRows(tuple(_without(own, column)), rows.unread if index == 0 else 0)
            return
    yield None, rows


def _without(rows: Iterable[LogRow], column: str) -> Iterator[LogRow]:
    for row in rows:
        yield {name: value for name, value in row.items() if name != column}


def _event_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob(f"*{EVENT_FILE}*") if file.is_file())


def _subfolders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith((".", "checkpoint-")))


def _below(folder: Path, path: Path) -> str:
    return f"{folder.resolve().name}/{path.relative_to(folder)}"


def _uncompressed_name(path: Path) -> str:
    name = path.name.lower()
    return name.removesuffix(path.suffix.lower()) if path.suffix.lower() in COMPRESSIONS else name


def _checkpoint_step(file: Path) -> int:
    digits = re.search(r"\d+$", file.parent.name)
    return int(digits[0]) if digits else -1


def _text(path: Path) -> str:
    decompress = COMPRESSIONS.get(path.suffix.lower(), bytes)
    try:
        content = decompress(path.read_bytes())
    except (OSError, EOFError, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UnreadableDatasetError(
            f"'{path}' cannot be read: {reason}. Name a file or a folder that exists and is whole."
        ) from error
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # the output of a console of Windows
    return content.decode("utf-16" if is_utf16 else "utf-8-sig", errors="replace")
