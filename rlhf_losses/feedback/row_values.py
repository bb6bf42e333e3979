"""Values in the columns of a row: lists, numbers, tokens and ratings by name, or an error that names the column."""

from array import array
from collections.abc import Iterable, Mapping, Set
from decimal import Decimal
from numbers import Real
from typing import Any

from rlhf_losses.checks.unicode_text import lone_surrogate
from rlhf_losses.errors import InvalidFeedbackError, shown
from rlhf_losses.feedback.label_words import read_label_word

Row = Mapping[str, Any]


def read_list(row: Row, column: str) -> list[Any]:
    """Return a list column; a text, whose characters would be the entries, is not a list.

    Raises:
        InvalidFeedbackError: the value is not a list.

    Examples:
        >>> read_list({"completions": ("a", "b")}, "completions")
        ['a', 'b']
    """
    return _require_list(row[column], f"Column '{column}'", "texts")


def read_optional_list(row: Row, column: str) -> list[Any] | None:
    """Return a list column, or None if the row has none.

    Raises:
        InvalidFeedbackError: the value is not a list.
    """
    return None if row.get(column) is None else read_list(row, column)


def read_lists(row: Row, column: str) -> list[list[Any]]:
    """Return a column of lists of lists.

    Raises:
        InvalidFeedbackError: the value or one of its entries is not a list.
    """
    entries = read_list(row, column)
    return [_require_list(entry, f"Entry {index} of column '{column}'", "texts") for index, entry in enumerate(entries)]


def read_numbers(row: Row, column: str) -> list[float]:
    """Return the numbers of a list column; missing entries become NaN, which `check` refuses.

    Raises:
        InvalidFeedbackError: the value is not a list, or one of its entries is not a number.
    """
    values = _require_list(row[column], f"Column '{column}'", "numbers, like [1.0, 2.0]")
    return [_to_float(value, column) for value in values]


def read_number(row: Row, column: str) -> float:
    """Return the number of a column; a missing value becomes NaN, which `check` refuses.

    Raises:
        InvalidFeedbackError: the value is not a number.

    Examples:
        >>> read_number({"rating": "4.5"}, "rating")
        4.5
    """
    return _to_float(row[column], column)


def read_label(row: Row, column: str) -> float:
    """Return the label of a column, a number or a word such as `yes`; a missing value becomes NaN.

    Raises:
        InvalidFeedbackError: the value is neither a number nor such a word.

    Examples:
        >>> read_label({"label": "thumbs_up"}, "label"), read_label({"label": -1}, "label")
        (1.0, -1.0)
    """
    word = read_label_word(row[column])
    return read_number(row, column) if word is None else float(word)


def read_tokens(row: Row, column: str) -> list[int]:
    """Return the token ids of a text.

    Raises:
        InvalidFeedbackError: there are no tokens, or an entry is not an integer of at least 0.
    """
    ids = _require_list(row[column], f"Column '{column}'", "token ids")
    if not ids:
        raise InvalidFeedbackError(
            f"Column '{column}' is {shown(row[column])}, a text without tokens, but a score is computed at the last "
            "token of a text. Drop the row, or end texts with EOS before tokenization."
        )
    found = _integers(ids)
    if found is None:
        position, wrong = next((i, one) for i, one in enumerate(ids) if _integers([one]) is None)
        raise InvalidFeedbackError(
            f"Entry {position} of column '{column}' is {shown(wrong)}, which is not a token id: those are integers of "
            "at least 0. Correct the tokens, or drop the row."
        )
    return found


def read_named_numbers(row: Row, column: str) -> list[dict[str, float]]:
    """Return the numbers by name of each answer; a column of one answer contains one mapping.

    Raises:
        InvalidFeedbackError: the value is neither a mapping nor a list of mappings, a name is not a text, or a value is
            not a number.
    """
    value = row[column]
    entries = [value] if isinstance(value, Mapping | str) else as_list(value)
    return [_named_numbers(entry, column) for entry in ([value] if entries is None else entries)]


def _named_numbers(value: Any, column: str) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise InvalidFeedbackError(
            f"Column '{column}' contains {shown(value)}, which has no attribute names. Write a number for each name, "
            'like {"helpfulness": 4, "verbosity": 2}, or null for a missing one.'
        )
    wrong = next((name for name in value if not isinstance(name, str) or lone_surrogate(name)), None)
    if wrong is not None:
        raise InvalidFeedbackError(
            f"Column '{column}' has the attribute name {wrong!a:.80}, which is not a text in valid Unicode. Rename it."
        )
    return {name: _to_float(number, column) for name, number in value.items()}


def _integers(values: list[Any]) -> list[int] | None:
    """Return values that are integers from 0 to 2^63 − 1, also those of numpy, as integers of Python, or None."""
    try:
        integers = array("q", values).tolist()  # fast, and raises an error for other values than 64-bit integers
    except (TypeError, OverflowError):
        return None
    return integers if not isinstance(values[0], bool) and min(integers) >= 0 else None


def as_list(value: Any) -> list[Any] | None:
    """Return the entries of a list, a tuple, an array or an iterator, and None for other values.

    Examples:
        >>> as_list((1, 2)), as_list("ab"), as_list({"a": 1})
        ([1, 2], None, None)
    """
    if isinstance(value, list):
        return value
    if hasattr(value, "ndim") and hasattr(value, "tolist"):  # an array of numpy or torch
        return value.tolist() if value.ndim else None
    if isinstance(value, str | bytes | bytearray | Mapping | Set) or not isinstance(value, Iterable):
        return None
    return list(value)


def _require_list(value: Any, place: str, content: str) -> list[Any]:
    entries = as_list(value)
    if entries is None:
        raise InvalidFeedbackError(
            f"{place} is {shown(value)}, which is not a list. Write a list of {content}, or drop the row."
        )
    return entries


def _to_float(value: Any, column: str) -> float:
    if value is None:
        return float("nan")
    try:
        if isinstance(value, Real | Decimal | str) or getattr(value, "ndim", None) == 0:
            return float(value)
    except (TypeError, ValueError):
        pass
    except OverflowError:
        raise InvalidFeedbackError(
            f"Column '{column}' contains {shown(value)}, which is larger than any number that a loss can use. "
            "Correct the number, or drop the row."
        ) from None
    raise InvalidFeedbackError(
        f"Column '{column}' contains {shown(value)}, which is not a number. Write a number, or drop the row."
    )
