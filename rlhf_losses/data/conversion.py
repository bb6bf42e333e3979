"""Conversion of datasets in other formats to rows with the columns of this library."""

import logging
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from datasets import Dataset, IterableDataset

from rlhf_losses.converters import DatasetConverter, Native
from rlhf_losses.data.annotator_columns import find_annotator_column
from rlhf_losses.data.batches import row_batches
from rlhf_losses.data.dataset import AnyDataset, column_names
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import feedback_types_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.files.media_columns import without_media
from rlhf_losses.hooks.registry import converter_registry
from rlhf_losses.setting_names import setting

logger = logging.getLogger(__name__)

SOURCE_ROW, SOURCE_ITEM = "source_row", "source_item"
"""Columns of converted rows with the position of their source."""

DETECTION_ROWS = 100
"""Number of rows from which the format is detected; the first ones can have null values."""


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
    require_dataset(dataset)
    dataset = without_media(dataset, name)
    registry = converter_registry(plugin_files)
    chosen = registry.detect(*islice(dataset, DETECTION_ROWS)) if converter is None else registry.lookup(converter)()
    converted = dataset if isinstance(chosen, Native) else _convert(chosen, dataset, name, with_source)
    found = [feedback_type.__name__ for feedback_type in feedback_types_in_columns(column_names(converted))]
    if found:
        columns = ", ".join(column_names(dataset))
        reason = f"detected from the columns {columns}" if converter is None else "as requested"
        logger.info("%s: read as %s (%s), %s.", name, chosen.name(), " and ".join(found), reason)
    return converted


def _convert(converter: DatasetConverter, dataset: AnyDataset, name: str, with_source: bool) -> AnyDataset:
    if isinstance(dataset, IterableDataset):
        return IterableDataset.from_generator(
            _converted_rows,
            gen_kwargs={"converter": converter, "rows": dataset, "name": name, "with_source": with_source},
        )
    given = chain.from_iterable(batch for _, batch in row_batches(dataset, f"Converting {name}"))
    rows = list(_converted_rows(converter, given, name, with_source))
    if not rows:
        raise InvalidFeedbackError(
            f"{converter.name()} found no feedback in the {len(dataset)} rows of {name}. "
            f"Choose another converter, for example {setting('converter', 'native')}."
        )
    columns = dict.fromkeys(column for row in rows for column in row)
    return Dataset.from_dict({column: [row.get(column) for row in rows] for column in columns})


def _converted_rows(
    converter: DatasetConverter, rows: Iterable[Row], name: str, with_source: bool = False
) -> Iterator[Row]:
    dropped = count = 0
    for count, row in enumerate(converter.gather(rows), 1):
        with converter.locate_errors(count - 1, name):
            converted = converter.convert(row)
        dropped += not converted
        for item, one in enumerate(converted):
            source = {SOURCE_ROW: count - 1, SOURCE_ITEM: item if len(converted) > 1 else None}
            yield {**_kept_columns(row), **one, **(source if with_source else {})}
    if dropped:
        logger.warning("%s: %d of %d rows have no feedback and are dropped.", name, dropped, count)


def _kept_columns(row: Row) -> Row:
    """Return the values that every conversion keeps: the annotator and the arguments of the chat template."""
    names = (*TEMPLATE_COLUMNS, find_annotator_column(row))
    return {name: row[name] for name in names if name is not None and name in row}
