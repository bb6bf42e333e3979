"""A dataset in any known layout becomes one with our columns."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from datasets import Dataset, IterableDataset

from rlhf_losses.converters import DatasetConverter, Native
from rlhf_losses.data.dataset import AnyDataset, column_names
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import feedback_types_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.hooks.converters import converters

logger = logging.getLogger(__name__)


def convert_dataset(
    dataset: AnyDataset, converter: str | None = None, name: str = "data", plugin_files: Iterable[str | Path] = ()
) -> AnyDataset:
    """Return the feedback of a dataset in our columns.

    The layout is recognised from the columns and the first row, unless the name of an `converter` is given; data whose
    columns are ours already stay as they are. Rows that hold no feedback are left out and counted in a warning.

    Raises:
        InvalidFeedbackError: a row cannot be read; the message names it.
        UnknownNameError: no converter has that name.
    """
    known = converters(plugin_files)
    first: Row = next(iter(dataset), {})
    chosen = known.recognise(first) if converter is None else known.called(converter)
    adapted = dataset if isinstance(chosen, Native) else _read(chosen, dataset, name)
    held = [kind.__name__ for kind in feedback_types_in_columns(column_names(adapted))]
    if held:
        why = f"recognised from the columns {', '.join(first)}" if converter is None else "as you chose"
        logger.info("%s: read as %s (%s), %s.", name, chosen.name(), " and ".join(held), why)
    return adapted


def _read(converter: DatasetConverter, dataset: AnyDataset, name: str) -> AnyDataset:
    if isinstance(dataset, IterableDataset):
        return IterableDataset.from_generator(_rows, gen_kwargs={"converter": converter, "rows": dataset, "name": name})
    rows = list(_rows(converter, dataset, name))
    if not rows:
        raise InvalidFeedbackError(
            f"Read as {converter.name()}, none of the {len(dataset)} rows of {name} holds feedback. "
            "Name another converter: --converter native"
        )
    columns = dict.fromkeys(column for row in rows for column in row)
    return Dataset.from_dict({column: [row.get(column) for row in rows] for column in columns})


def _rows(converter: DatasetConverter, rows: Iterable[Row], name: str) -> Iterator[Row]:
    silent = number = 0
    for number, row in enumerate(converter.gather(rows), 1):
        with converter.naming(number - 1, name):
            found = converter.read(row)
        silent += not found
        yield from found
    if silent:
        logger.warning("%s: %d of %d rows hold no feedback that is compared; they are left out.", name, silent, number)
