"""Logs in JSON and JSON Lines."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_losses.report.log_rows import LogRow, LogRows

_OBJECT = re.compile(r"\{[^{}]*\}")


def parse_json_log(text: str) -> LogRows | None:
    """Return the rows of a log in JSON or JSON Lines, or None for another format.

    Of a file that ends before its end, the whole objects are read.

    Args:
        text: content of the file.

    Examples:
        >>> parse_json_log('{"step": 1, "loss": 0.5}\\n{"step": 2, "loss": "NaN"}').rows
        ({'step': 1, 'loss': 0.5}, {'step': 2, 'loss': 'NaN'})
        >>> parse_json_log('{"log_history": [{"step": 1, "loss": 0.5}, {"st')
        LogRows(rows=({'step': 1, 'loss': 0.5},), unread=1)
    """
    try:
        return LogRows(tuple(_rows(json.loads(text))))
    except ValueError:
        pass
    lines = [line for line in text.splitlines() if line.strip()]
    objects = [one for one in map(json_object, lines) if one is not None]
    if 2 * len(objects) > len(lines):
        rows = [row for one in objects for row in _rows(one)]
        return LogRows(tuple(rows), len(lines) - len(objects))
    if text.lstrip()[:1] not in ("{", "["):
        return None
    whole = [one for one in map(json_object, _OBJECT.findall(text)) if one]
    return LogRows(tuple(whole), 1) if whole else None


def json_object(text: str) -> Any:
    """Return the object that a text is, or None.

    Args:
        text: JSON.
    """
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _rows(value: Any) -> Iterator[LogRow]:
    """Yield the rows of a list of rows, or of an object."""
    if isinstance(value, list):
        for one in value:
            yield from _rows(one)
    elif isinstance(value, dict):
        yield from _rows_of_object(value)


def _rows_of_object(value: Mapping[str, Any]) -> Iterator[LogRow]:
    """Yield the row that an object is, or the rows of an object with a list of rows, of columns, or of rows by step."""
    if all(isinstance(one, dict) and key.isdigit() for key, one in value.items()):
        yield from ({"step": int(step), **_flat(row)} for step, row in value.items())
    elif len(value) > 1 and all(map(_by_index, value.values())):  # as pandas writes a table
        yield from _of_columns({name: list(column.values()) for name, column in value.items()})
    elif (history := _history(value)) is not None:
        yield from _rows(history)
    else:
        flat = _flat(value)
        columns = {name: one for name, one in flat.items() if isinstance(one, list)}
        yield from _of_columns(columns) if columns and len(columns) * 2 >= len(flat) else [flat]


def _history(value: Mapping[str, Any]) -> Sequence[Any] | None:
    """Return the longest list of objects in an object or in its objects, such as `log_history`."""
    lists = [one for one in value.values() if isinstance(one, list) and one and all(isinstance(r, dict) for r in one)]
    inner = [_history(one) for one in value.values() if isinstance(one, dict)]
    found = [*lists, *(one for one in inner if one is not None)]
    return max(found, key=len) if found else None


def _by_index(column: Any) -> bool:
    return isinstance(column, dict) and bool(column) and all(key.isdigit() for key in column)


def _of_columns(columns: Mapping[str, list[Any]]) -> Iterator[LogRow]:
    for index in range(max(map(len, columns.values()))):
        yield {name: values[index] for name, values in columns.items() if index < len(values)}


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a row without nested objects: their names are joined by `/`."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
