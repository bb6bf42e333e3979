"""Values that feedback requires, whatever the file contains: texts are texts, and numbers are not too large."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from rlhf_losses.checks.unicode_text import require_unicode
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.files.cells import FEEDBACK_COLUMNS, TEXT_COLUMNS
from rlhf_losses.files.column_uses import ValuePath, column_uses
from rlhf_losses.files.value_types import LARGEST_INTEGER, numbers_as_text

Conversion: TypeAlias = Callable[[Any], Any]

TEXTS_IN_VALUES = ("completions", *TEXT_COLUMNS)
"""Columns whose values are texts or conversations; a number there is a text."""


def required_values(row: Mapping[str, Any], targets: Mapping[str, str], place: str) -> dict[str, Any]:
    """Return a row in which numbers are texts where a text is needed, and no number is too large where one is needed.

    Args:
        row: values of JSON, or of cells.
        targets: new names of columns that will be renamed.
        place: where the row is, for messages.

    Raises:
        InvalidFeedbackError: a text is not valid Unicode, or a number is larger than any float.

    Examples:
        >>> row = {"prompt": 7, "completion": "a", "rating": 10**20, "id": 10**20}
        >>> required_values(row, targets={}, place="row 0")
        {'prompt': '7', 'completion': 'a', 'rating': 1e+20, 'id': 100000000000000000000}
    """
    values = dict(row)
    others = [column for column, value in row.items() if not (isinstance(value, str) and value.isascii())]
    conversions = _conversions(tuple(row), frozenset(targets.items())) if others else {}
    for column in others:
        value = row[column]
        require_unicode(value, f"Column '{column}' of {place}")
        for path, convert in conversions.get(column, ()):
            try:
                values[column] = _convert_at(values[column], path, convert)
            except OverflowError:
                raise InvalidFeedbackError(
                    f"Column '{column}' of {place} is {value!r:.80}, which is larger than any number that a loss can "
                    "use. Correct the number, or drop the row."
                ) from None
    return values


@cache
def needed_columns(columns: tuple[str, ...], targets: frozenset[tuple[str, str]]) -> frozenset[str]:
    """Return the columns that feedback types use, or all columns of texts in a dataset without a feedback type.

    Args:
        columns: names of the columns.
        targets: pairs of an old and a new name.

    Examples:
        >>> sorted(needed_columns(("prompt", "chosen", "rejected", "answer", "id"), frozenset()))
        ['chosen', 'prompt', 'rejected']
        >>> sorted(needed_columns(("prompt", "answer", "id"), frozenset()))
        ['answer', 'prompt']
    """
    uses = column_uses(columns, targets)
    needed = uses.feedback or TEXTS_IN_VALUES
    return frozenset(column for column, paths in uses.names.items() if paths.get(()) in needed)


@cache
def _conversions(
    columns: tuple[str, ...], targets: frozenset[tuple[str, str]]
) -> dict[str, Sequence[tuple[ValuePath, Conversion]]]:
    """Return the conversions of values at paths in columns."""
    uses = column_uses(columns, targets)
    numbers = [name for name in uses.feedback if name in FEEDBACK_COLUMNS]
    conversions = {
        **dict.fromkeys(numbers, _large_integers_as_floats),
        **dict.fromkeys(TEXTS_IN_VALUES, numbers_as_text),
    }
    return {
        column: [(path, conversions[name]) for path, name in paths.items() if name in conversions]
        for column, paths in uses.names.items()
    }


def _convert_at(value: Any, path: ValuePath, convert: Conversion) -> Any:
    """Return a value with converted values at a path; of a list of objects, at the path in all of them."""
    if not path:
        return convert(value)
    key, *rest = path
    if isinstance(value, list):
        if not key.isdecimal():
            return [_convert_at(element, path, convert) for element in value]
        return [
            _convert_at(element, tuple(rest), convert) if index == int(key) else element
            for index, element in enumerate(value)
        ]
    if isinstance(value, dict) and key in value:
        return value | {key: _convert_at(value[key], tuple(rest), convert)}
    return value


def _large_integers_as_floats(value: Any) -> Any:
    if isinstance(value, list):
        if set(map(type, value)) == {int} and max(map(abs, value)) < LARGEST_INTEGER:
            return value  # fast for tokens
        return [_large_integers_as_floats(element) for element in value]
    if isinstance(value, dict):
        return {key: _large_integers_as_floats(element) for key, element in value.items()}
    return float(value) if isinstance(value, int) and abs(value) >= LARGEST_INTEGER else value
