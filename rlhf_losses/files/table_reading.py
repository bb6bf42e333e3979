"""Datasets from files in JSON Lines, JSON, CSV, TSV or Excel that have the same columns."""

import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, NoReturn, TypeAlias

import pyarrow as pa
from datasets import Dataset, Features, IterableDataset

from rlhf_losses.errors import InvalidFeedbackError, RlhfLossesError, UnreadableDatasetError, counted_from_0
from rlhf_losses.files.cached_tables import cached_dataset
from rlhf_losses.files.cells import CellKind, column_kinds, known_kinds, read_cell, read_inferred_cell
from rlhf_losses.files.data_files import stamp
from rlhf_losses.files.invalid_cells import InvalidCell, describe_cells
from rlhf_losses.files.records import Record, has_cells, read_records
from rlhf_losses.files.value_requirements import needed_columns, required_values
from rlhf_losses.files.value_types import ColumnTypes, stored_columns
from rlhf_losses.iteration import in_batches

Rows: TypeAlias = Dataset | IterableDataset

INSPECTED_ROWS = 1_000
"""Number of rows from which the kinds of cells are inferred in a stream."""

ROWS_OF_TABLE = 1_000
"""Number of rows that are stored at once."""


@dataclass(frozen=True)
class TableReader:
    """Reads rows of files with the same columns.

    Args:
        targets: new names of columns that will be renamed; a column is read as its new name requires.
        cell_kinds: kinds of the columns of files with cells; empty for JSON.
        inferred: columns whose kind only their cells tell; a cell that is not of this kind is a text.
    """

    targets: Mapping[str, str] = field(default_factory=dict)
    cell_kinds: Mapping[str, CellKind] = field(default_factory=dict)
    inferred: frozenset[str] = frozenset()

    def rows(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a file.

        Args:
            path: path or URL.

        Raises:
            InvalidFeedbackError: a value cannot be read as its column requires.
        """
        for index, record in enumerate(read_records(path)):
            row = self._cells(record, index, path) if self.cell_kinds else record
            with _explained_row(index) if self.cell_kinds else nullcontext():
                values = required_values(row, self.targets, f"row {index} of '{path}'")
            yield values

    def invalid_cells(self, path: str) -> Iterator[InvalidCell]:
        """Yield the cells of a file that are not of the kind of their columns.

        Args:
            path: path or URL.
        """
        for index, record in enumerate(read_records(path) if self.cell_kinds else ()):
            yield from self._invalid(record, index, path)

    def _invalid(self, record: Record, index: int, path: str) -> Iterator[InvalidCell]:
        for column, cell in record.items():
            try:
                self._value(cell, column)
            except ValueError:
                yield InvalidCell(path, column, self.cell_kinds[column], index, cell)

    def _cells(self, record: Record, index: int, path: str) -> dict[str, Any]:
        try:
            return {column: self._value(cell, column) for column, cell in record.items()}
        except ValueError:
            raise InvalidFeedbackError(describe_cells(list(self._invalid(record, index, path)))) from None

    def _value(self, cell: str | None, column: str) -> Any:
        if cell is None:
            return None
        kind = self.cell_kinds[column]
        return read_inferred_cell(cell, kind) if column in self.inferred else read_cell(cell, kind)


def read_tables(paths: Sequence[str], targets: Mapping[str, str], streaming: bool = False) -> Rows:
    """Return the rows of files.

    Args:
        paths: paths or URLs of files of one format.
        targets: new names of columns that will be renamed; a column is read as its new name requires.
        streaming: whether to read rows when they are needed.

    Raises:
        UnreadableDatasetError: a file cannot be read, or has other columns than the first.
        InvalidFeedbackError: a value has not the type of its column.
    """
    reader = TableReader(targets)
    if paths and has_cells(paths[0]):
        records = (record for path in paths for record in read_records(path))
        inspected = islice(records, INSPECTED_ROWS if streaming else None)
        columns = _columns_of_cells(paths)
        inferred = frozenset(column for column, kind in known_kinds(columns, targets).items() if kind is None)
        reader = replace(reader, cell_kinds=column_kinds(columns, inspected, targets), inferred=inferred)
    if streaming:
        next(iter(_rows(paths, reader)), None)  # raises the errors of the first row now
        return IterableDataset.from_generator(_rows, gen_kwargs={"paths": list(paths), "reader": reader})
    features = _column_types(paths, reader)
    if not features:
        return Dataset.from_dict({})
    # The stamps and the version are part of the key under which `datasets` caches the rows.
    versions = (importlib.metadata.version("rlhf-losses"), *map(stamp, paths))
    return cached_dataset(partial(_tables, list(paths), reader, features, versions), features)


def refuse_other_columns(path: str, columns: Iterable[str], first: str) -> NoReturn:
    """Refuse a file that has other columns than the first.

    Args:
        path: path or URL of the file.
        columns: columns in one of them only.
        first: path or URL of the first file.

    Raises:
        UnreadableDatasetError: always.
    """
    raise UnreadableDatasetError(
        f"'{path}' and '{first}' have different columns: {', '.join(columns)} in one of them only. Give one of the "
        "files, or fix the data; all files need the same columns."
    )


def _rows(paths: Iterable[str], reader: TableReader) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from reader.rows(path)


def _tables(
    paths: Iterable[str], reader: TableReader, features: Features, versions: Sequence[str]
) -> Iterator[pa.Table]:
    for rows in in_batches(_rows(paths, reader), ROWS_OF_TABLE):
        yield _table(stored_columns(rows, features), features)


def _table(columns: dict[str, list[Any]], features: Features) -> pa.Table:
    try:
        return pa.Table.from_pydict(columns, schema=features.arrow_schema)
    except (pa.ArrowTypeError, pa.ArrowNotImplementedError):  # values of JSON columns, which `datasets` encodes
        return Dataset.from_dict(columns, features).with_format("arrow")[:]


def _columns_of_cells(paths: Sequence[str]) -> list[str]:
    """Return the columns of files with cells, and check that all files have the same."""
    headers = {path: list(header) for path in paths if (header := next(iter(read_records(path)), None))}
    first, columns = next(iter(headers.items()), ("", []))
    for path, others in headers.items():
        if set(others) != set(columns):
            refuse_other_columns(path, sorted(set(others) ^ set(columns)), first)
    return columns


@contextmanager
def _explained_row(index: int) -> Iterator[None]:
    """Add the number of a row in its sheet to errors that occur in the `with` block."""
    try:
        yield
    except RlhfLossesError as error:
        raise type(error)(f"{error} ({counted_from_0(index)})") from None


def _column_types(paths: Sequence[str], reader: TableReader) -> Features:
    """Return the types of all columns, and check that all files have the columns of the first.

    Raises:
        InvalidFeedbackError: cells of any file cannot be read; the message has all of them.
    """
    try:
        return _common_types(paths, reader)
    except InvalidFeedbackError:
        cells = [cell for path in paths for cell in reader.invalid_cells(path)]
        if not cells:
            raise
        raise InvalidFeedbackError(describe_cells(cells)) from None


def _common_types(paths: Sequence[str], reader: TableReader) -> Features:
    types = ColumnTypes()
    known: list[str] = []
    for path in paths:
        for index, row in enumerate(reader.rows(path)):
            needed = needed_columns(tuple(row), frozenset(reader.targets.items()))
            types.add(row, f"row {index} of '{path}'", needed)
        columns = list(types.features())
        if known and len(columns) > len(known):
            refuse_other_columns(path, columns[len(known) :], paths[0])
        known = columns
    return types.features()
