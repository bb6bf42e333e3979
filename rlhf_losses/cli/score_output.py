"""The output file of `rlhf-losses score`: JSON Lines or a table, by its suffix."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO, TypeAlias

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.errors import OutputExistsError

Line: TypeAlias = Mapping[str, Any]

WriteLine: TypeAlias = Callable[[Line], object]

FORMATS: Mapping[str, Literal["json", "csv", "tsv"]] = {
    "": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "tsv",
}
"""Format of each suffix."""

DELIMITERS = {"csv": ",", "tsv": "\t"}


def require_output_file(file: Path) -> None:
    """Raise an error unless scores can be written to a new file.

    Args:
        file: the file.

    Raises:
        OutputExistsError: the file exists.
        CommandLineError: its folder does not exist, or there is no format for its suffix.
    """
    if file.suffix.lower() not in FORMATS:
        raise CommandLineError(
            f"--output is '{file}', but scores are not written in the format of '{file.suffix}'. End the name in "
            ".jsonl (JSON Lines), .csv or .tsv; for others, pandas.read_json(FILE, lines=True) reads the first."
        )
    if file.exists():
        raise OutputExistsError(f"The file '{file}' exists. Choose another file: --output FILE.")
    if not file.parent.is_dir():
        raise CommandLineError(
            f"There is no folder '{file.parent}' for the scores. Create it, or choose another file: --output FILE."
        )


@contextmanager
def open_output(file: str | None, keys: Sequence[str]) -> Iterator[WriteLine]:
    """Open the output file, or stdout, and yield the function that writes a line.

    A table has a column for each key, and the mark with which Excel recognizes UTF-8.

    Args:
        file: the file, or None for JSON Lines on stdout.
        keys: the keys that a line can have.

    Raises:
        CommandLineError: the file cannot be written.
    """
    if file is None:
        yield _json_lines(sys.stdout)
        return
    form = FORMATS[Path(file).suffix.lower()]
    try:
        with open(file, "w", encoding="utf-8" if form == "json" else "utf-8-sig", newline="") as opened:
            yield _json_lines(opened) if form == "json" else _table(opened, DELIMITERS[form], keys)
    except OSError as error:
        raise CommandLineError(
            f"The scores could not be written to '{file}': {error.strerror or error}. Its last line may be incomplete. "
            "Free space on the disk, remove the file and run the command again, or choose another file: --output FILE."
        ) from error


def _json_lines(file: TextIO) -> WriteLine:
    return lambda line: print(_as_json(line), file=file)


def _table(file: TextIO, delimiter: str, keys: Sequence[str]) -> WriteLine:
    """Write the header of a table, and return the function that writes a row."""
    table = csv.DictWriter(file, keys, delimiter=delimiter)
    table.writeheader()
    return lambda line: table.writerow({key: _cell(value) for key, value in line.items()})


def _cell(value: Any) -> Any:
    """Return the value of a cell: texts and numbers as they are, and lists, objects and truth values as JSON."""
    is_structure = isinstance(value, bool | list | tuple | dict)
    return _as_json(value) if is_structure else value


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
