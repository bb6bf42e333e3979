"""Columns of a dataset that training and evaluation read; the values of others are never converted to Python."""

from collections.abc import Sequence

from datasets import Dataset, IterableDataset

from rlhf_losses.data.rows import FEEDBACK_COLUMNS, PREPARED_COLUMNS, TEXT_COLUMNS
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS
from rlhf_losses.feedback.source_rows import SOURCE_ROW, source_rows

COLUMNS = (*TEXT_COLUMNS, *FEEDBACK_COLUMNS, *TEMPLATE_COLUMNS, *PREPARED_COLUMNS)
"""Columns of a dataset that training uses."""


def with_read_columns(dataset: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """Return a dataset without the columns that training and evaluation do not read. A stream stays as it is.

    The number of the original row of a converted one is kept for messages.

    Args:
        dataset: a dataset or a stream.

    Examples:
        >>> with_read_columns(Dataset.from_dict({"id": [1], "chosen": ["a"], "rejected": ["b"]}))[0]
        {'chosen': 'a', 'rejected': 'b'}
    """
    read = {*COLUMNS, SOURCE_ROW}
    if isinstance(dataset, IterableDataset) or set(dataset.column_names) <= read:
        return dataset
    return dataset.select_columns([name for name in dataset.column_names if name in read])


def source_rows_of(dataset: Dataset, positions: Sequence[int]) -> list[int]:
    """Return the numbers of the rows of a dataset in messages, see `source_row`.

    Args:
        dataset: a dataset.
        positions: position of each row, if it has no original row.
    """
    if SOURCE_ROW not in dataset.column_names:
        return list(positions)
    return source_rows(list(dataset.select_columns([SOURCE_ROW])), positions)
