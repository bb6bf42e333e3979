"""Rows that can be read as Python values, whatever `with_format` of a dataset says.

Columns of images, audio and video are left out, so a broken image does not end a run on texts. Texts must be valid.
"""

import dataclasses
import logging
from typing import Any, TypeAlias

import pyarrow as pa
from datasets import Dataset, Features, IterableDataset, Json, List

from rlhf_losses.errors import InvalidFeedbackError

logger = logging.getLogger(__name__)

AnyDataset: TypeAlias = Dataset | IterableDataset


def readable_rows(dataset: AnyDataset, name: str = "data") -> AnyDataset:
    """Return a dataset without its columns of images, audio and video, whose rows are Python values.

    Images within the values of another column are kept, as bytes and path.

    Args:
        dataset: a dataset or a stream.
        name: name of the dataset in messages.

    Raises:
        InvalidFeedbackError: a text of a dataset is not valid UTF-8. The texts of a stream are not checked.

    Examples:
        >>> from datasets import Image, Value
        >>> features = Features({"prompt": Value("string"), "image": Image()})
        >>> image = {"bytes": b"broken", "path": None}
        >>> data = Dataset.from_dict({"prompt": ["Q"], "image": [image]}, features=features)
        >>> readable_rows(data)[0]
        {'prompt': 'Q'}
    """
    dataset = _with_python_values(dataset)
    features = dataset.features or {}
    media = [column for column, value_type in features.items() if _is_media(value_type)]
    if media:
        logger.info("%s: the columns %s are not read, because they contain no text.", name, ", ".join(media))
        dataset = dataset.select_columns([column for column in features if column not in media])
    kept = Features({column: value_type for column, value_type in features.items() if column not in media})
    undecoded = Features({column: _undecoded(value_type) for column, value_type in kept.items()})
    dataset = dataset if undecoded == kept else dataset.cast(undecoded)
    if isinstance(dataset, Dataset):
        _require_valid_texts(dataset, name)
    return dataset


def _require_valid_texts(dataset: Dataset, name: str) -> None:
    """Raise `InvalidFeedbackError` for a text that is not UTF-8, which no reader of Arrow files checks."""
    table = dataset.data.table
    for column in dataset.column_names:
        start = 0
        for chunk in table[column].chunks:
            if not _is_valid(chunk):
                row = start + next(index for index in range(len(chunk)) if not _is_valid(chunk.take(pa.array([index]))))
                raise InvalidFeedbackError(
                    f"{name}: column '{column}' has a text that is not valid UTF-8, in row {row} of the table, and "
                    "texts are read as UTF-8. Write the file again with valid texts, or remove the column."
                )
            start += len(chunk)


def _is_valid(values: pa.Array) -> bool:
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _with_python_values(dataset: AnyDataset) -> AnyDataset:
    """Return a dataset without a format such as `"pandas"`."""
    is_formatted = isinstance(dataset, Dataset) and dataset.format["type"] is not None
    return dataset.with_format(None) if is_formatted or isinstance(dataset, IterableDataset) else dataset


def _is_media(value_type: Any) -> bool:
    if isinstance(value_type, List):
        return _is_media(value_type.feature)
    return hasattr(value_type, "decode_example") and not isinstance(value_type, Json)


def _undecoded(value_type: Any) -> Any:
    """Return a type whose images, audio and videos are bytes and paths."""
    if isinstance(value_type, dict):
        return {key: _undecoded(element) for key, element in value_type.items()}
    if isinstance(value_type, List):
        return List(_undecoded(value_type.feature), length=value_type.length)
    return dataclasses.replace(value_type, decode=False) if _is_media(value_type) else value_type
