"""Rows of one file in CSV, TSV, Excel, JSON Lines or JSON, local or remote, also compressed."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import BufferedReader, BytesIO, TextIOWrapper
from pathlib import PurePosixPath
from typing import IO, Any, TypeAlias

import fsspec

from rlhf_losses.checks.optional_packages import require_packages
from rlhf_losses.errors import RlhfLossesError, UnreadableDatasetError, counted_from_0
from rlhf_losses.files.cells import Cells
from rlhf_losses.files.locations import COMPRESSIONS, file_format, inner_path
from rlhf_losses.files.value_types import parse_json
from rlhf_losses.files.zstandard_reader import ZstandardReader

Record: TypeAlias = Mapping[str, Any]

DELIMITERS = ",;\t"


def has_cells(path: str) -> bool:
    """Return whether a file contains cells with texts, and not typed values.

    Args:
        path: path or URL.
    """
    return file_format(path) in ("csv", "xlsx")


def read_records(path: str) -> Iterator[Record]:
    """Yield the rows of a file: cells as texts, of which an empty one is None, or JSON values.

    Args:
        path: path or URL; `zip://MEMBER::ARCHIVE` is a file in an archive.

    Raises:
        UnreadableDatasetError: the file has not the format of its suffix.
        MissingPackageError: the format needs a package that is not installed.
    """
    form = file_format(path)
    yield from _read_excel(path) if form == "xlsx" else _read_text(path, form)


@contextmanager
def open_binary(path: str) -> Iterator[IO[bytes]]:
    """Open a file, decompressed.

    Args:
        path: path or URL.

    Raises:
        UnreadableDatasetError: the file cannot be decompressed to its end.
        MissingPackageError: the compression or the protocol needs a package that is not installed.
    """
    is_zstandard = inner_path(path).lower().endswith(".zst")
    if is_zstandard:
        require_packages(["zstandard"], "A file that ends in .zst", extra="files")
    with fsspec.open(path, "rb", compression=None if is_zstandard else "infer") as file:
        try:
            yield BufferedReader(ZstandardReader(file)) if is_zstandard else file
        except (RlhfLossesError, UnicodeDecodeError):
            raise
        except Exception as error:  # each compression has its own exception classes
            if "::" not in path and not path.lower().endswith(COMPRESSIONS):
                raise
            raise UnreadableDatasetError(
                f"'{path}' cannot be decompressed to its end: {str(error) or type(error).__name__}. The file is "
                "damaged or not complete. Use a complete copy."
            ) from error


def _read_text(path: str, form: str | None) -> Iterator[Record]:
    try:
        with open_binary(path) as binary, TextIOWrapper(binary, encoding="utf-8-sig", newline="") as file:
            yield from _read_csv(file, path) if form == "csv" else _read_json(file, path)
    except UnicodeDecodeError as error:
        raise UnreadableDatasetError(
            f"'{path}' is not a text in UTF-8: {error.reason} at byte {error.start}. Save it in UTF-8; in Excel, "
            "the type of the file is 'CSV UTF-8'."
        ) from None


def _read_csv(file: IO[str], path: str) -> Iterator[Cells]:
    csv.field_size_limit(sys.maxsize)
    lines = iter(file)
    first = next(lines, "")
    delimiter = "\t" if ".tsv" in PurePosixPath(inner_path(path).lower()).suffixes else max(DELIMITERS, key=first.count)
    table = _csv_rows((line for part in ([first], lines) for line in part), delimiter, path)
    yield from _rows_of_table(([cell or None for cell in row] for row in table if row), path)


def _csv_rows(lines: Iterable[str], delimiter: str, path: str) -> Iterator[list[str]]:
    table = csv.reader(lines, delimiter=delimiter, strict=True)
    start = 1
    try:
        for row in table:
            yield row
            start = table.line_num + 1
    except csv.Error as error:
        raise UnreadableDatasetError(
            f"The row that begins at line {start} of '{path}' has a quote that is not closed where the cell ends: "
            f'{error}. Close each quote at the end of its cell, and write a quote within quotes as "".'
        ) from None


def _read_excel(path: str) -> Iterator[Cells]:
    require_packages(["openpyxl"], "A file that ends in .xlsx", extra="files")
    from openpyxl import load_workbook

    with open_binary(path) as file:
        # A compressed file cannot be read in the order that Excel files need.
        workbook = load_workbook(BytesIO(file.read()), read_only=True, data_only=True)
        sheets = [sheet for sheet in workbook if sheet.max_row and next(sheet.values, None)]
        if len(sheets) > 1:
            raise UnreadableDatasetError(
                f"'{path}' has {len(sheets)} sheets with rows ({', '.join(sheet.title for sheet in sheets)}), but a "
                "dataset is one table. Save each sheet in a file."
            )
        rows = ([_cell_text(value) for value in row] for sheet in sheets for row in sheet.values)
        yield from _rows_of_table((row for row in rows if any(cell is not None for cell in row)), path)


def _rows_of_table(table: Iterable[Sequence[str | None]], path: str) -> Iterator[Cells]:
    """Yield rows by column. A column without a name, as `DataFrame.to_csv` writes the index, gets its number."""
    rows = iter(table)
    header = [(name or "").strip() or f"unnamed_{index}" for index, name in enumerate(next(rows, []))]
    if repeated := next((name for name in header if header.count(name) > 1), None):
        raise UnreadableDatasetError(f"'{path}' has several columns '{repeated}'. Rename or remove all but one.")
    for index, row in enumerate(rows):
        if len(row) > len(header):
            raise UnreadableDatasetError(
                f"Row {index} of '{path}' has {len(row)} cells for {len(header)} columns. Put quotes around cells with "
                f"a delimiter or a line break. ({counted_from_0(index)})"
            )
        yield dict(zip(header, [*row, *[None] * (len(header) - len(row))], strict=True))


def _cell_text(value: Any) -> str | None:
    """Return the value of an Excel cell as text, as a CSV file would have it."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime) and value.time() == datetime.min.time():
        return value.date().isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None or value == "" else str(value)


def _read_json(file: IO[str], path: str) -> Iterator[Record]:
    """Yield the objects of JSON Lines, or of one array or object over several lines."""
    lines: Iterator[str] = (line for line in file if line.strip())
    first = next(lines, "")
    if not _is_json(first):
        rest = "".join(lines)
        lines = iter([first + rest]) if first.strip() in ("[", "{") or _is_json(first + rest) else iter([first])
        first = ""
    index = 0
    for line in (line for part in ([first], lines) for line in part if line):
        for value in _objects(line, path, index):
            yield value
            index += 1


def _objects(text: str, path: str, index: int) -> list[Record]:
    """Return the object in a text, or all objects of an array, also of one with the key `data`.

    A string in an array is an object with the key `text`.
    """
    try:
        value = parse_json(text)
    except ValueError as error:
        raise UnreadableDatasetError(
            f"Row {index} of '{path}' is not valid JSON: {error}. Write one object per line, or an array of objects."
        ) from None
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("data"), list):
        value = value["data"]
    rows = [{"text": row} if isinstance(row, str) else row for row in (value if isinstance(value, list) else [value])]
    for offset, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UnreadableDatasetError(
                f"Row {index + offset} of '{path}' is {json.dumps(row):.80}, but a row is an object. Write objects "
                'such as {"chosen": "4", "rejected": "5"}.'
            )
    return rows


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
