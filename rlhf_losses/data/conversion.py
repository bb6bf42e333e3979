"""Conversion of datasets in other formats to rows with the columns of this library."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from datasets import Dataset, IterableDataset

from rlhf_losses.converters import DatasetConverter, Native
from rlhf_losses.converters.compared_answers import SIDES
from rlhf_losses.data.annotator_columns import find_annotator_column
from rlhf_losses.data.batches import row_batches
from rlhf_losses.data.dataset import AnyDataset, column_names
from rlhf_losses.data.read_columns import COLUMNS
from rlhf_losses.data.rows import TEXT_COLUMNS
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS
from rlhf_losses.errors import InvalidArgumentError, InvalidFeedbackError, RlhfLossesError
from rlhf_losses.feedback import feedback_types_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.source_rows import SOURCE_ITEM, SOURCE_ROW, correspond, listed_rows
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.hooks.registry import converter_registry
from rlhf_losses.messages.setting_names import setting

logger = logging.getLogger(__name__)

COLUMNS_OF_TEXTS = frozenset(
    (*TEXT_COLUMNS, *SIDES, "text", "messages", "chosen_steps", "rejected_steps", "completion_steps")
)
"""Columns whose texts are scored, or are prompts of a policy."""

DETECTION_ROWS = 100
"""Number of rows from which the format is detected; the first ones can have null values."""


MOST_ERRORS = 1_000
"""Number of rows with errors after which a conversion stops at the next one."""


@dataclass(frozen=True)
class Conversion:
    """A converted dataset.

    Attributes:
        rows: the rows with the columns of this library.
        dropped: number of rows of the original without feedback; 0 for a stream, which is converted as it is read.
    """

    rows: AnyDataset
    dropped: int


def convert_dataset(
    dataset: AnyDataset,
    converter: str | None = None,
    name: str = "data",
    plugin_files: Iterable[str | Path] = (),
    with_source: bool | None = None,
    texts_only: bool = False,
) -> AnyDataset:
    """Convert a dataset to rows with the columns of this library.

    Rows without feedback are dropped; a warning gives their number. Where rows are dropped or one gives several, the
    converted rows have the column `source_row`, and later messages and files name the original row. The ids of
    annotators and the arguments of the chat template, such as `tools`, are kept. A dataset that has the columns already
    is returned unchanged.

    Args:
        dataset: a dataset or a stream.
        converter: name of a converter; by default the columns and the first rows determine it.
        name: name of the dataset in messages.
        plugin_files: Python files with further converters.
        with_source: whether converted rows have the columns `source_row`, the position of their original row, and
            `source_item`, their index if it gave several rows; by default, if this position is not their own one, and
            in a stream.
        texts_only: whether to read prompts and answers alone, for scores or for the prompts of a policy. Rows without
            feedback are then kept.

    Returns:
        A dataset, or a stream if `dataset` is one.

    Raises:
        InvalidArgumentError: not a dataset.
        InvalidFeedbackError: a row cannot be converted, or no row has feedback.
        UnknownNameError: no converter has that name.
        FeedbackMismatchError: several converters match the dataset.

    Examples:
        >>> from datasets import Dataset
        >>> question = "\\n\\nHuman: What is 2 + 2?\\n\\nAssistant: "
        >>> data = Dataset.from_list([{"chosen": f"{question}4", "rejected": f"{question}5"}])
        >>> convert_dataset(data)[0]["chosen"]
        ' 4'
    """
    return convert_rows(dataset, converter, name, plugin_files, with_source, texts_only=texts_only).rows


def convert_rows(
    dataset: AnyDataset,
    converter: str | None = None,
    name: str = "data",
    plugin_files: Iterable[str | Path] = (),
    with_source: bool | None = None,
    keep: Sequence[str] = (),
    texts_only: bool = False,
) -> Conversion:
    """Convert a dataset as `convert_dataset` does, and return the number of dropped rows too.

    Args:
        dataset: a dataset or a stream.
        converter: name of a converter.
        name: name of the dataset in messages.
        plugin_files: Python files with further converters.
        with_source: see `convert_dataset`.
        keep: further columns to keep, if the dataset has them.
        texts_only: see `convert_dataset`.

    Raises:
        InvalidArgumentError: a column to keep has a name that converted rows use for feedback.
    """
    require_dataset(dataset)
    dataset = readable_rows(dataset, name)
    registry = converter_registry(plugin_files)
    chosen = registry.detect(*islice(dataset, DETECTION_ROWS)) if converter is None else registry.lookup(converter)()
    if isinstance(chosen, Native):
        conversion = Conversion(dataset, 0)
    else:
        _require_other_names(keep)
        conversion = _Reader(chosen, name, with_source, tuple(keep), texts_only).convert(dataset)
    if texts_only:
        found = ["texts"] if COLUMNS_OF_TEXTS & set(column_names(conversion.rows)) else []
    else:
        found = [one.__name__ for one in feedback_types_in_columns(column_names(conversion.rows))]
    if found:
        given = ", ".join(column_names(dataset))
        reason = f"detected from the columns {given}" if converter is None else "as requested"
        logger.info("%s: read as %s (%s), %s.", name, chosen.name(), " and ".join(found), reason)
    return conversion


def _require_other_names(keep: Sequence[str]) -> None:
    taken = next((column for column in keep if column in (*COLUMNS, SOURCE_ROW, SOURCE_ITEM)), None)
    if taken is not None:
        raise InvalidArgumentError(
            f"The column '{taken}' of the original data cannot be kept, because converted rows use this name for "
            f"texts, feedback and row numbers. Rename it, for example with {setting('columns', f'my_{taken}={taken}')}."
        )


@dataclass
class _RowsLeftOut:
    """Rows that a conversion leaves out.

    Attributes:
        empty: number of rows that give none.
        errors: the error of each row that has one, by row number.
    """

    empty: int = 0
    errors: dict[int | None, RlhfLossesError] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reader:
    """Reads rows of another format; `convert_rows` describes the attributes."""

    converter: DatasetConverter
    name: str
    with_source: bool | None
    keep: tuple[str, ...]
    texts_only: bool

    def convert(self, dataset: AnyDataset) -> Conversion:
        """Return the converted dataset, or stream, and the number of dropped rows."""
        if isinstance(dataset, IterableDataset):
            return Conversion(IterableDataset.from_generator(self.rows, gen_kwargs={"given": dataset}), 0)
        left_out = _RowsLeftOut()
        with closing(row_batches(dataset, f"Converting {self.name}")) as batches:  # an error ends the progress bar
            rows = list(self.rows(chain.from_iterable(batch for _, batch in batches), left_out))
        if left_out.errors:
            raise _joined(left_out.errors)
        if not rows:
            raise InvalidFeedbackError(
                f"{self.converter.name()} found no {self._content} in the {len(dataset)} rows of {self.name}: the "
                "columns that it reads are empty in all of them. Fill them in, or choose another converter with "
                f"{setting('converter', 'NAME')}. rlhf-losses score needs no feedback."
            )
        columns = dict.fromkeys(column for row in rows for column in row)
        if self.with_source is None and correspond([row[SOURCE_ROW] for row in rows]):
            columns = {column: None for column in columns if column not in (SOURCE_ROW, SOURCE_ITEM)}
        converted = Dataset.from_dict({column: [row.get(column) for row in rows] for column in columns})
        return Conversion(converted, left_out.empty)

    def rows(self, given: Iterable[Row], left_out: _RowsLeftOut | None = None) -> Iterator[Row]:
        """Yield the converted rows.

        Args:
            given: the rows.
            left_out: where errors are collected; by default the first one is raised.
        """
        count, empty = 0, 0
        read = self.converter.texts if self.texts_only else self.converter.convert
        for number, row in _numbered_rows(self.converter, given):
            count += 1
            try:
                with self.converter.locate_errors(number, self.name):
                    converted = read(row)
            except RlhfLossesError as error:
                if left_out is None or len(left_out.errors) == MOST_ERRORS:
                    raise
                left_out.errors[number] = error
                continue
            empty += not converted
            for item, one in enumerate(converted):
                source = {SOURCE_ROW: number, SOURCE_ITEM: item if len(converted) > 1 else None}
                yield {**_kept_columns(row, self.keep), **one, **({} if self.with_source is False else source)}
        if left_out is not None:
            left_out.empty = empty
        if empty:
            logger.warning("%s: %d of %d rows have no %s and are dropped.", self.name, empty, count, self._content)

    @property
    def _content(self) -> str:
        return "texts" if self.texts_only else "feedback"


def _joined(errors: Mapping[int | None, RlhfLossesError]) -> RlhfLossesError:
    """Return the first error, with the numbers of the further rows that have one."""
    first, *others = errors.values()
    if not others:
        return first
    rows = listed_rows([number for number in list(errors)[1:] if number is not None])
    return type(first)(f"{first} The same or another problem is in {len(others)} more rows ({rows}).")


def _numbered_rows(converter: DatasetConverter, rows: Iterable[Row]) -> Iterator[tuple[int | None, Row]]:
    """Yield the rows to convert with their positions; None for a combined row that does not tell its original row."""
    if type(converter).gather is DatasetConverter.gather:
        yield from enumerate(rows)
        return
    for row in converter.gather({**row, SOURCE_ROW: number} for number, row in enumerate(rows)):
        yield row.get(SOURCE_ROW), row


def _kept_columns(row: Row, keep: Sequence[str]) -> Row:
    """Return the values that every conversion keeps, the annotator and the arguments of the chat template, and others.

    Args:
        row: a row of the original dataset.
        keep: names of the other columns.
    """
    names = (*TEMPLATE_COLUMNS, find_annotator_column(row), *keep)
    return {name: row[name] for name in names if name is not None and name in row}
