"""Some values of the columns of a dataset, from which messages suggest what a column is."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, TypeAlias

import pyarrow as pa
from datasets import Dataset, IterableDataset, Value

AnyDataset: TypeAlias = Dataset | IterableDataset

ROWS, ROWS_OF_STREAM = 1_000, 100
"""Number of rows whose values are read: of a dataset from the whole of it, of a stream from its beginning."""


def sampled_values(dataset: AnyDataset, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return some values of columns of texts, numbers and truth values, by column; other columns are left out.

    Args:
        dataset: a dataset or a stream.
        names: the columns.

    Examples:
        >>> data = Dataset.from_dict({"id": [1, 2], "winner": ["a", None], "tags": [["x"], []]})
        >>> sampled_values(data, ["winner", "tags"])
        {'winner': ['a', None]}
    """
    if isinstance(dataset, IterableDataset):
        rows = list(islice(dataset, ROWS_OF_STREAM))
        return {name: [row.get(name) for row in rows] for name in names}
    read = [name for name in names if _is_plain(dataset.features[name])]
    if not read:
        return {}
    every = max(len(dataset) // ROWS, 1)
    return {**dataset.select_columns(read)[0 : len(dataset) : every]}


def _is_plain(value_type: Any) -> bool:
    if not isinstance(value_type, Value):
        return False
    arrow = value_type.pa_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating)
    return pa.types.is_boolean(arrow) or any(is_type(arrow) for is_type in tests)
