"""Conversion of datasets in other formats to rows with the columns of this library."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from datasets import Dataset, IterableDataset

from rlhf_losses.converters import DatasetConverter, Native
from rlhf_losses.data.annotator_columns import find_annotator_column
from rlhf_losses.data.batches import row_batches
from rlhf_losses.data.dataset import AnyDataset, column_names
from rlhf_losses.data.read_columns import COLUMNS
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS
from rlhf_losses.errors import InvalidArgumentError, InvalidFeedbackError
from rlhf_losses.feedback import feedback_types_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.readable_rows import readable_rows
from rlhf_losses.hooks.registry import converter_registry
from rlhf_losses.setting_names import setting

logger = logging.getLogger(__name__)

SOURCE_ROW, SOURCE_ITEM = "source_row", "source_item"
"""Columns of converted rows with the position of their source."""

DETECTION_ROWS = 100
"""Number of rows from which the format is detected; the first ones can have null values."""


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
    with_source: bool = False,
) -> AnyDataset:
    """Convert a dataset to rows with the columns of this library.

    Rows without feedback are dropped; a warning gives their number. The ids of annotators and the arguments of the chat
    template, such as `tools`, are kept. A dataset that has the columns already is returned unchanged.

    Args:
        dataset: a dataset or a stream.
        converter: name of a converter; by default the columns and the first rows determine it.
        name: name of the dataset in messages.
        plugin_files: Python files with further converters.
        with_source: whether converted rows have the columns `source_row`, the position of their row (or of the group of
            rows that a converter combines), and `source_item`, their index if it gave several rows.

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
    return convert_rows(dataset, converter, name, plugin_files, with_source).rows


def convert_rows(
    dataset: AnyDataset,
    converter: str | None = None,
    name: str = "data",
    plugin_files: Iterable[str | Path] = (),
    with_source: bool = False,
    keep: Sequence[str] = (),
) -> Conversion:
    """Convert a dataset as `convert_dataset` does, and return the number of dropped rows too.

    Args:
        dataset: a dataset or a stream.
        converter: name of a converter.
        name: name of the dataset in messages.
        plugin_files: Python files with further converters.
        with_source: whether converted rows have the columns `source_row` and `source_item`.
        keep: further columns to keep, if the dataset has them.

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
        conversion = _convert(chosen, dataset, name, with_source, keep)
    found = [feedback_type.__name__ for feedback_type in feedback_types_in_columns(column_names(conversion.rows))]
    if found:
        columns = ", ".join(column_names(dataset))
        reason = f"detected from the columns {columns}" if converter is None else "as requested"
        logger.info("%s: read as %s (%s), %s.", name, chosen.name(), " and ".join(found), reason)
    return conversion


def _require_other_names(keep: Sequence[str]) -> None:
    taken = next((column for column in keep if column in COLUMNS), None)
    if taken is not None:
        raise InvalidArgumentError(
            f"The column '{taken}' of the original data cannot be kept, because converted rows use this name for texts "
            f"and feedback. Rename it, for example with {setting('columns', f'my_{taken}={taken}')}."
        )


def _convert(
    converter: DatasetConverter, dataset: AnyDataset, name: str, with_source: bool, keep: Sequence[str]
) -> Conversion:
    if isinstance(dataset, IterableDataset):
        stream = IterableDataset.from_generator(
            _converted_rows,
            gen_kwargs={
                "converter": converter,
                "rows": dataset,
                "name": name,
                "with_source": with_source,
                "keep": tuple(keep),
            },
        )
        return Conversion(stream, 0)
    given = chain.from_iterable(batch for _, batch in row_batches(dataset, f"Converting {name}"))
    dropped = _Count()
    rows = list(_converted_rows(converter, given, name, with_source, keep, dropped))
    if not rows:
        raise InvalidFeedbackError(
            f"{converter.name()} found no feedback in the {len(dataset)} rows of {name}. "
            f"Choose another converter, for example {setting('converter', 'native')}."
        )
    columns = dict.fromkeys(column for row in rows for column in row)
    converted = Dataset.from_dict({column: [row.get(column) for row in rows] for column in columns})
    return Conversion(converted, dropped.value)


@dataclass
class _Count:
    """A number that grows while rows are read."""

    value: int = 0


def _converted_rows(
    converter: DatasetConverter,
    rows: Iterable[Row],
    name: str,
    with_source: bool = False,
    keep: Sequence[str] = (),
    dropped: _Count | None = None,
) -> Iterator[Row]:
    dropped, count = dropped or _Count(), 0
    for count, row in enumerate(converter.gather(rows), 1):
        with converter.locate_errors(count - 1, name):
            converted = converter.convert(row)
        dropped.value += not converted
        for item, one in enumerate(converted):
            source = {SOURCE_ROW: count - 1, SOURCE_ITEM: item if len(converted) > 1 else None}
            yield {**_kept_columns(row, keep), **one, **(source if with_source else {})}
    if dropped.value:
        logger.warning("%s: %d of %d rows have no feedback and are dropped.", name, dropped.value, count)


def _kept_columns(row: Row, keep: Sequence[str]) -> Row:
    """Return the values that every conversion keeps, the annotator and the arguments of the chat template, and others.

    Args:
        row: a row of the original dataset.
        keep: names of the other columns.
    """
    names = (*TEMPLATE_COLUMNS, find_annotator_column(row), *keep)
    return {name: row[name] for name in names if name is not None and name in row}
