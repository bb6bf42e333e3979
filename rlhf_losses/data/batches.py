"""Rows of a dataset in batches: a function of many rows at once, with the number of a wrong row in its error."""

import importlib.metadata
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
from datasets import Dataset, concatenate_datasets
from datasets.utils import tqdm

from rlhf_losses.data.rows import RowEncoder, encoded_table
from rlhf_losses.errors import RlhfLossesError, counted_from_0
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.source_rows import source_row, source_rows
from rlhf_losses.iteration import in_batches

Result = TypeVar("Result")

BATCH_SIZE = 1_000
"""Number of rows in a batch."""

ROWS_OF_TABLE = 100
"""Number of rows that are written to Arrow at once, while later ones are tokenized."""

PACKAGES = ("rlhf-losses", "transformers", "tokenizers")
"""Packages whose versions are part of the key of cached tokens."""


def row_batches(rows: Dataset | Iterable[Row], description: str) -> Generator[tuple[range, list[Row]], None, None]:
    """Yield rows in batches with their positions, and show a progress bar where `datasets` shows one.

    Args:
        rows: a dataset, or rows, which are read once.
        description: text beside the progress bar.
    """
    with tqdm(total=len(rows) if isinstance(rows, Dataset) else None, desc=description, unit=" examples") as progress:
        start = 0
        for batch in _lists_of_rows(rows):
            yield range(start, start + len(batch)), batch
            start += len(batch)
            progress.update(len(batch))


def at_row(function: Callable[[list[Row]], Result], rows: list[Row], numbers: Sequence[int], name: str) -> Result:
    """Return the result of a function of rows. If it raises an error, the message has the number of the wrong row.

    Of a converted row this is the number of its original row.

    Args:
        function: a function that raises an error for several rows if it does for one of them alone.
        rows: the rows.
        numbers: position of each row in its dataset, from 0.
        name: name of the dataset in the message.
    """
    try:
        return function(rows)
    except RlhfLossesError:
        for number, row in zip(numbers, rows, strict=True):
            with locate_errors(source_row(row, number), name):
                function([row])
        raise


@contextmanager
def locate_errors(number: int, name: str) -> Iterator[None]:
    """Add the number of a row and the name of its dataset to errors that occur in the `with` block.

    Args:
        number: number of the row, from 0; see `source_row`.
        name: name of the dataset in the message.
    """
    try:
        yield
    except RlhfLossesError as error:
        raise type(error)(f"Row {number} of {name}: {error} ({counted_from_0(number)})") from None


@dataclass(frozen=True)
class BatchEncoder:
    """Tokenizes batches of a dataset, in `Dataset.map`, whose cache has a key that depends on all attributes.

    Args:
        encoder: tokenizes rows.
        max_length: see `RowEncoder.encode`.
        name: name of the dataset in messages.
        versions: versions of the packages that the tokens depend on.
    """

    encoder: RowEncoder
    max_length: int | None
    name: str
    versions: tuple[str, ...] = field(default_factory=lambda: tuple(map(importlib.metadata.version, PACKAGES)))

    def __call__(self, columns: dict[str, list[Any]], numbers: list[int]) -> pa.Table:
        """Return the columns of `EncodedRow` for a batch.

        Args:
            columns: values of the rows by column.
            numbers: position of each row in its dataset.
        """
        rows: list[Row] = _rows_of(dict(columns))
        at = dict(zip(map(id, rows), source_rows(rows, numbers), strict=True))
        return at_row(lambda batch: self._table(batch, [at[id(row)] for row in batch]), rows, numbers, self.name)

    def _table(self, rows: list[Row], numbers: list[int]) -> pa.Table:
        encoded = self.encoder.encode_rows(rows, self.max_length, numbers)
        return pa.concat_tables(map(encoded_table, in_batches(encoded, ROWS_OF_TABLE)))


def map_rows(dataset: Dataset, encoder: BatchEncoder, description: str, num_proc: int | None = None) -> Dataset:
    """Return a dataset with the columns of tokenized rows in addition to its own.

    Args:
        dataset: the dataset.
        encoder: tokenizes the rows.
        description: text beside the progress bar.
        num_proc: number of processes; None or 1 is this process.
    """
    processes = num_proc if (num_proc or 1) > 1 else None
    encoded = dataset.map(
        encoder,
        with_indices=True,
        batched=True,
        batch_size=BATCH_SIZE,
        remove_columns=dataset.column_names,
        num_proc=processes,
        desc=description,
    )
    # The other columns stay as they are in Arrow: some values, such as large integers, cannot be written back.
    return concatenate_datasets([dataset, encoded], axis=1)


def _lists_of_rows(rows: Dataset | Iterable[Row]) -> Iterator[list[Row]]:
    if isinstance(rows, Dataset):
        yield from (_rows_of(batch) for batch in rows.iter(BATCH_SIZE))
        return
    yield from in_batches(rows, BATCH_SIZE)


def _rows_of(columns: dict[str, list[Any]]) -> list[Row]:
    """Return a batch row by row."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
