"""Columns of a dataset that training and evaluation read; the values of others are never converted to Python."""

from datasets import Dataset, IterableDataset

from rlhf_losses.data.rows import FEEDBACK_COLUMNS, PREPARED_COLUMNS, TEXT_COLUMNS
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS

COLUMNS = (*TEXT_COLUMNS, *FEEDBACK_COLUMNS, *TEMPLATE_COLUMNS, *PREPARED_COLUMNS)
"""Columns of a dataset that training uses."""


def with_read_columns(dataset: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """Return a dataset without the columns that training and evaluation do not read. A stream stays as it is.

    Args:
        dataset: a dataset or a stream.

    Examples:
        >>> with_read_columns(Dataset.from_dict({"id": [1], "chosen": ["a"], "rejected": ["b"]}))[0]
        {'chosen': 'a', 'rejected': 'b'}
    """
    if isinstance(dataset, IterableDataset) or set(dataset.column_names) <= set(COLUMNS):
        return dataset
    return dataset.select_columns([name for name in dataset.column_names if name in COLUMNS])
