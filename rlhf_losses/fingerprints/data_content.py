"""Content of a dataset: a hash of the values of its columns, in the order of its rows.

The hash depends on neither files, caches nor the way Arrow stores the values: it is computed from the buffers of
windows of a fixed number of rows, with offsets, chunks and widths of numbers removed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, IterableDataset
from xxhash import xxh3_128

from rlhf_losses.fingerprints.code_content import code_content
from rlhf_losses.fingerprints.content import Content

WINDOW = 10_000
"""Number of rows that are hashed at once."""

STREAM_ROWS = 100
"""Number of rows of a stream that are hashed; further rows are unknown before they are used."""

LIST_TYPES = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)

AnyDataset: TypeAlias = Dataset | IterableDataset


def datasets_content(data: AnyDataset | Mapping[str, AnyDataset], columns: Iterable[str] | None = None) -> Content:
    """Return the content of a dataset, or of several by name.

    Args:
        data: a dataset, a stream, or several of them by name.
        columns: names of the columns that matter; by default all.
    """
    if not isinstance(data, Mapping):
        return data_content(data, columns)
    parts = {name: data_content(one, columns) for name, one in data.items()}
    together = xxh3_128(json.dumps({name: one.hash for name, one in parts.items()}).encode())
    return Content(together.hexdigest(), ", ".join(f"{name}: {one.description}" for name, one in parts.items()))


def data_content(data: AnyDataset, columns: Iterable[str] | None = None) -> Content:
    """Return the content of a dataset; of a stream only its first rows are known.

    Args:
        data: a dataset or a stream.
        columns: names of the columns that matter; by default all. Columns without values count as absent.

    Examples:
        >>> rows = Dataset.from_dict({"prompt": ["a", "b"], "chosen": ["c", "d"]})
        >>> data_content(rows) == data_content(rows.select([1, 0])), data_content(rows).description
        (False, '2 rows')
    """
    if isinstance(data, IterableDataset):
        return _stream_content(data, columns)
    used = sorted(set(data.column_names) if columns is None else set(columns) & set(data.column_names))
    hashes: Mapping[str, Any] = {name: xxh3_128() for name in used}
    filled: set[str] = set()
    for window in _windows(data.select_columns(used)) if used else ():
        for name in used:
            array = window[name].combine_chunks()
            filled |= {name} if array.null_count < len(array) else set()
            _update(hashes[name], array)
    contents = {name: hashes[name].hexdigest() for name in used if name in filled}
    transform = code_content(data.format["format_kwargs"].get("transform"))
    contents |= {} if transform is None else {"transform": transform.hash}
    count = len(data)
    return Content(
        xxh3_128(json.dumps([count, contents]).encode()).hexdigest(), "1 row" if count == 1 else f"{count:,} rows"
    )


def _windows(data: Dataset) -> Iterator[Any]:
    """Yield tables of the rows of a dataset, in their order; rows of a shuffled dataset are taken together."""
    table, indices = data.data.table, data._indices
    for start in range(0, len(data), WINDOW):
        if indices is None:
            yield table.slice(start, WINDOW)
        else:
            yield table.take(indices.column(0).slice(start, WINDOW))


def _stream_content(stream: IterableDataset, columns: Iterable[str] | None) -> Content:
    names = None if columns is None else set(columns)
    rows = [
        {name: value for name, value in row.items() if value is not None and (names is None or name in names)}
        for row in islice(stream, STREAM_ROWS)
    ]
    text = json.dumps(rows, sort_keys=True, default=str)
    return Content(xxh3_128(text.encode()).hexdigest(), f"a stream, of which the first {len(rows)} rows are compared")


def _update(hasher: Any, array: Any) -> None:
    """Add the values of an Arrow array to a hash."""
    array = _without_encoding(array)
    hasher.update(len(array).to_bytes(8, "little"))
    if array.null_count:
        hasher.update(_bytes(pc.is_null(array).cast(pa.uint8())))
    if pa.types.is_struct(array.type):
        for name, values in sorted(zip((one.name for one in array.type), array.flatten(), strict=True)):
            if values.null_count < len(values):
                hasher.update(name.encode())
                _update(hasher, values)
    elif any(is_list(array.type) for is_list in LIST_TYPES):
        hasher.update(_bytes(pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())))
        _update(hasher, array.flatten())
    else:
        _update_values(hasher, array)


def _without_encoding(array: Any) -> Any:
    """Return an array without chunks, extension type and dictionary."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _update_values(hasher: Any, array: Any) -> None:
    """Add values that are not lists or objects."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        _update_texts(hasher, pc.fill_null(array, "").cast(pa.large_string()))
    elif pa.types.is_boolean(kind):
        hasher.update(_bytes(pc.fill_null(array, False).cast(pa.uint8())))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        hasher.update(_bytes(pc.fill_null(array.cast(pa.float64(), safe=False), 0.0)))
    elif not pa.types.is_null(kind):
        hasher.update(repr(array.to_pylist()).encode())


def _update_texts(hasher: Any, array: Any) -> None:
    """Add the lengths of texts and their bytes, without the offset of the array in its buffers."""
    hasher.update(_bytes(pc.binary_length(array).cast(pa.int64())))
    _, offsets, values = array.buffers()
    if values is None or not len(array):
        return
    bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    hasher.update(memoryview(values)[int(bounds[0]) : int(bounds[-1])])


def _bytes(array: Any) -> bytes:
    contiguous: bytes = np.ascontiguousarray(array.to_numpy(zero_copy_only=False)).tobytes()
    return contiguous
