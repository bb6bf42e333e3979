"""A dataset in any known layout becomes one with our columns."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from datasets import Dataset, IterableDataset

from rlhf_losses.adapters import Adapter, Native
from rlhf_losses.batching.dataset import AnyDataset, column_names
from rlhf_losses.errors import InvalidFeedback
from rlhf_losses.feedback import kinds_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.hooks.adapters import adapters

logger = logging.getLogger(__name__)


def adapt(
    dataset: AnyDataset, adapter: str | None = None, name: str = "data", plugin_files: Iterable[str | Path] = ()
) -> AnyDataset:
    """Return the feedback of a dataset in our columns.

    The layout is recognised from the columns and the first row, unless the name of an `adapter` is given; data whose
    columns are ours already stay as they are. Rows that hold no feedback are left out and counted in a warning.

    Raises:
        InvalidFeedback: a row cannot be read; the message names it.
        UnknownName: no adapter has that name.
    """
    known = adapters(plugin_files)
    first: Row = next(iter(dataset), {})
    chosen = known.recognise(first) if adapter is None else known.called(adapter)
    adapted = dataset if isinstance(chosen, Native) else _read(chosen, dataset, name)
    held = [kind.__name__ for kind in kinds_in_columns(column_names(adapted))]
    if held:
        why = f"recognised from the columns {', '.join(first)}" if adapter is None else "as you chose"
        logger.info("%s: read as %s (%s), %s.", name, chosen.name(), " and ".join(held), why)
    return adapted


def _read(adapter: Adapter, dataset: AnyDataset, name: str) -> AnyDataset:
    if isinstance(dataset, IterableDataset):
        return IterableDataset.from_generator(_rows, gen_kwargs={"adapter": adapter, "rows": dataset, "name": name})
    rows = list(_rows(adapter, dataset, name))
    if not rows:
        raise InvalidFeedback(
            f"Read as {adapter.name()}, none of the {len(dataset)} rows of {name} holds feedback. "
            "Name another adapter: --adapter native"
        )
    columns = dict.fromkeys(column for row in rows for column in row)
    return Dataset.from_dict({column: [row.get(column) for row in rows] for column in columns})


def _rows(adapter: Adapter, rows: Iterable[Row], name: str) -> Iterator[Row]:
    silent = number = 0
    for number, row in enumerate(adapter.gather(rows), 1):
        with adapter.naming(number - 1, name):
            found = adapter.read(row)
        silent += not found
        yield from found
    if silent:
        logger.warning("%s: %d of %d rows hold no feedback that is compared; they are left out.", name, silent, number)
