"""Datasets from files in Parquet or Arrow, whose columns have types. `datasets` reads them."""

import glob
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow
import pyarrow.parquet
from datasets import Features, List, Value, load_dataset

from rlhf_losses.errors import InvalidFeedbackError, UnreadableDatasetError
from rlhf_losses.files.data_files import decompressed
from rlhf_losses.files.locations import file_format
from rlhf_losses.files.records import open_binary
from rlhf_losses.files.table_reading import Rows, refuse_other_columns

TYPED_FORMATS = ("parquet", "arrow")
"""Formats whose columns have types."""


class DifferentTypesError(ValueError):
    """Values of two types cannot be in one column."""


def read_typed_files(paths: Sequence[str], split: str, streaming: bool = False) -> Rows:
    """Return the rows of files whose columns have types.

    A column that has only nulls in one file has the type of the other files, and numbers of several types become the
    larger type.

    Args:
        paths: paths or URLs of files of one format.
        split: name of the split.
        streaming: whether to read rows when they are needed.

    Raises:
        UnreadableDatasetError: a file has other columns than the first, or a column of another type.
        InvalidFeedbackError: no file has rows.
    """
    files = [decompressed(path) for path in paths]
    filled = [file for file in files if _has_rows(file)]  # `datasets` raises an error for Parquet files without rows
    if not filled:
        raise InvalidFeedbackError(f"{', '.join(map(repr, paths))} has no rows. Use a dataset with at least one row.")
    rows: Rows = load_dataset(
        str(file_format(paths[0])),
        data_files={split: list(map(glob.escape, filled))},
        split=split,
        streaming=streaming,
        features=_common_types(files, paths) if len(files) > 1 else None,
    )
    return rows


def _common_types(files: Sequence[str], names: Sequence[str]) -> Features:
    """Return the types of columns that all files can be read with."""
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(_types_of, files))
    common = found[0]
    for name, types in zip(names, found, strict=True):
        if set(types) != set(common):
            refuse_other_columns(name, sorted(set(types) ^ set(common)), names[0])
        common = Features({column: _merge_columns(column, common, types, name) for column in common})
    return common


def _has_rows(file: str) -> bool:
    if file_format(file) != "parquet":
        return True
    with open_binary(file) as opened:
        return bool(pyarrow.parquet.read_metadata(opened).num_rows)


def _types_of(file: str) -> Features:
    with open_binary(file) as opened:
        if file_format(file) == "parquet":
            return Features.from_arrow_schema(pyarrow.parquet.read_schema(opened))
        try:
            return Features.from_arrow_schema(pyarrow.ipc.open_stream(opened).schema)
        except pyarrow.ArrowInvalid:  # the other of the two forms of an Arrow file
            return Features.from_arrow_schema(pyarrow.ipc.open_file(opened).schema)


def _merge_columns(column: str, common: Mapping[str, Any], types: Mapping[str, Any], name: str) -> Any:
    try:
        return _merge(common[column], types[column])
    except DifferentTypesError:
        raise UnreadableDatasetError(
            f"Column '{column}' of '{name}' has the type {types[column]}, but {common[column]} in the files before it. "
            "Write values of one type, or give one of the files."
        ) from None


def _merge(first: Any, second: Any) -> Any:
    """Return the type of `datasets` that values of two types can be read as."""
    if first == second or second == Value("null"):
        return first
    if first == Value("null"):
        return second
    if isinstance(first, dict) and isinstance(second, dict):
        shared = {key: _merge(first[key], second[key]) for key in first if key in second}
        return {**first, **second, **shared}
    if isinstance(first, List) and isinstance(second, List):
        return List(_merge(first.feature, second.feature))
    if isinstance(first, Value) and isinstance(second, Value):
        return _merge_values(first, second)
    if isinstance(first, dict | List) or isinstance(second, dict | List):
        raise DifferentTypesError
    return first  # a class of `datasets`, which converts other values


def _merge_values(first: Value, second: Value) -> Value:
    schemas = [pyarrow.schema({"x": value_type.pa_type}) for value_type in (first, second)]
    try:
        (common,) = Features.from_arrow_schema(pyarrow.unify_schemas(schemas, promote_options="permissive")).values()
    except pyarrow.ArrowTypeError:
        texts = [value_type for value_type in (first, second) if value_type.dtype in ("string", "large_string")]
        return texts[0] if texts else max(first, second, key=lambda value_type: value_type.dtype != "bool")
    return common
