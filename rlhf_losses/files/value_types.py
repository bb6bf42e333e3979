"""Column types of JSON values. Values are stored as they are written: texts are not parsed, and no key is added."""

import json
from collections.abc import Callable, Container, Mapping, Sequence
from functools import reduce
from typing import Any, Self, TypeAlias

from datasets import Features, Json, List, Value

from rlhf_losses.errors import InvalidFeedbackError

ValueType: TypeAlias = Any
"""A type of `datasets`, a dictionary of types for an object, or None for null, which is stored in every type."""

TEXT, INTEGER, FLOAT, BOOLEAN = (Value(name) for name in ("string", "int64", "float64", "bool"))

TEXT_OR_NULL = {str, type(None)}
"""Types of the values of most columns of texts."""

NUMBERS = (BOOLEAN, INTEGER, FLOAT)
"""Types of which each can be stored as the next."""

LARGEST_INTEGER = 2**63


class MixedTypesError(ValueError):
    """Values have types that cannot be stored together."""


class WrittenNumber(float):
    """A number that is not written as Python writes it, such as `1.50` or `1e5`.

    Attributes:
        text: the number as it is written.
    """

    text: str

    def __new__(cls, text: str) -> Self:
        """Return the number that a text contains."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.text,)


def parse_json(text: str) -> Any:
    """Return a JSON value, with numbers that know how they are written.

    Args:
        text: the JSON text.

    Raises:
        ValueError: the text is not JSON.

    Examples:
        >>> numbers_as_text(parse_json("[1.50, 2]")), parse_json("[1.50, 2]")
        (['1.50', '2'], [1.5, 2])
    """
    try:
        return _DECODER.decode(text)
    except ValueError:
        return json.loads(text)  # its message is better for a text that begins with a byte order mark


class ColumnTypes:
    """Types of the columns of rows that are read one after the other.

    Texts and numbers in one column are stored as texts. Objects with different keys, and values that have no common
    type, are stored as JSON.

    Examples:
        >>> types = ColumnTypes()
        >>> types.add({"chosen": "4", "date": "2024-01-01"}, "row 0")
        >>> types.add({"chosen": 5, "margin": 1}, "row 1")
        >>> types.features()
        {'chosen': Value('string'), 'date': Value('string'), 'margin': Value('int64')}
    """

    def __init__(self) -> None:
        self._types: dict[str, ValueType] = {}

    def add(self, row: Mapping[str, Any], place: str, needed: Container[str] = ()) -> None:
        """Add the types of the values of a row.

        Args:
            row: the row.
            place: where the row is, for messages.
            needed: columns whose values must have one type.

        Raises:
            InvalidFeedbackError: a value of a needed column has another type than the values before it.
        """
        for column, value in row.items():
            earlier = self._types.get(column)
            if earlier is TEXT and isinstance(value, str):
                continue
            try:
                self._types[column] = _merge_columns(earlier, value)
            except MixedTypesError:
                self._types[column] = Json()
                if column not in needed:
                    continue
                raise InvalidFeedbackError(
                    f"Column '{column}' of {place} is {json.dumps(value, ensure_ascii=False):.80}, which cannot be in "
                    f"one column with the {_describe(earlier)} of earlier rows. Write values of one type."
                ) from None

    def features(self) -> Features:
        """Return the columns with their types."""
        return Features({column: _complete(value_type) for column, value_type in self._types.items()})


def numbers_as_text(value: Any) -> Any:
    """Return a number or a boolean, or those in a list, as text.

    Examples:
        >>> numbers_as_text([7, True, "7", None])
        ['7', 'true', '7', None]
    """
    if isinstance(value, list):
        return [numbers_as_text(element) for element in value]
    if isinstance(value, WrittenNumber):
        return value.text
    return json.dumps(value) if isinstance(value, int | float) else value


def stored_columns(rows: Sequence[Mapping[str, Any]], features: Features) -> dict[str, list[Any]]:
    """Return rows by column, in which every value has the type of its column.

    Args:
        rows: rows, of which each may lack columns.
        features: all columns.

    Examples:
        >>> stored_columns([{"x": 7, "labels": [True, None]}, {}], Features({"x": TEXT, "labels": List(INTEGER)}))
        {'x': ['7', None], 'labels': [[1, None], None]}
    """
    return {column: _stored_values([row.get(column) for row in rows], feature) for column, feature in features.items()}


def _stored_values(values: list[Any], value_type: ValueType) -> list[Any]:
    if not isinstance(value_type, Value):
        return [_stored(value, value_type) for value in values]
    if value_type == TEXT and set(map(type, values)) <= TEXT_OR_NULL:
        return values
    convert = _CONVERSIONS[value_type.dtype]
    return [None if value is None else convert(value) for value in values]


def _stored(value: Any, value_type: ValueType) -> Any:
    if value is None:
        return None
    if isinstance(value_type, List):
        return _stored_values(value, value_type.feature)
    if isinstance(value_type, dict):
        return {key: _stored(value[key], element) for key, element in value_type.items()}
    if isinstance(value_type, Json):  # which takes a text for the JSON of a value
        return json.dumps(value) if isinstance(value, str) else _without_large_integers(value)
    return _CONVERSIONS[value_type.dtype](value)


def _without_large_integers(value: Any) -> Any:
    """Return a value in which integers that JSON columns cannot store are texts."""
    if isinstance(value, list):
        return [_without_large_integers(element) for element in value]
    if isinstance(value, dict):
        return {key: _without_large_integers(element) for key, element in value.items()}
    return str(value) if _is_large(value) else value


def _is_large(value: Any) -> bool:
    return isinstance(value, int) and abs(value) >= LARGEST_INTEGER


def _parse_float(text: str) -> float:
    number = float(text)
    return number if repr(number) == text else WrittenNumber(text)


_DECODER = json.JSONDecoder(parse_float=_parse_float)
"""The decoder of `json.loads` with these arguments, which makes one for every text."""


def _merge_columns(earlier: ValueType, value: Any) -> ValueType:
    try:
        return _merge(earlier, _type_of(value))
    except MixedTypesError:
        return _merge(_texts(earlier), _type_of(numbers_as_text(value)))


def _type_of(value: Any, exact: bool = False) -> ValueType:
    if isinstance(value, list):
        return List(reduce(lambda a, b: _merge(a, b, exact), (_type_of(element, exact) for element in value), None))
    if isinstance(value, dict):
        return _object_type(value)
    return TEXT if _is_large(value) else _TYPES.get(type(value))


def _object_type(value: Mapping[str, Any]) -> ValueType:
    try:
        return {key: _type_of(element, exact=True) for key, element in value.items()} or Json()
    except MixedTypesError:
        return Json()


def _merge(first: ValueType, second: ValueType, exact: bool = False) -> ValueType:
    """Return the type of values of two types.

    Args:
        first: a type.
        second: another type.
        exact: whether numbers of different types are refused; they are, in objects.

    Raises:
        MixedTypesError: there is no such type.
    """
    if first is None or second is None or first == second:
        return second if first is None else first
    if isinstance(first, List) and isinstance(second, List):
        return List(_merge(first.feature, second.feature, exact))
    if isinstance(first, dict | Json) and isinstance(second, dict | Json):
        return _merge_objects(first, second)
    if first in NUMBERS and second in NUMBERS and not exact:
        return max(first, second, key=NUMBERS.index)
    raise MixedTypesError


def _merge_objects(first: ValueType, second: ValueType) -> ValueType:
    if isinstance(first, Json) or isinstance(second, Json) or first.keys() != second.keys():
        return Json()
    try:
        return {key: _merge(first[key], second[key], exact=True) for key in first}
    except MixedTypesError:
        return Json()


def _texts(value_type: ValueType) -> ValueType:
    """Return the type of values whose numbers are texts."""
    if isinstance(value_type, List):
        return List(_texts(value_type.feature))
    return TEXT if isinstance(value_type, Value) else value_type


def _complete(value_type: ValueType) -> ValueType:
    """Return a type in which the type of nothing but nulls is that of `datasets`."""
    if isinstance(value_type, List):
        return List(_complete(value_type.feature))
    if isinstance(value_type, dict):
        return {key: _complete(element) for key, element in value_type.items()}
    return Value("null") if value_type is None else value_type


def _describe(value_type: ValueType) -> str:
    if isinstance(value_type, List):
        return "lists"
    if isinstance(value_type, dict | Json):
        return "objects"
    return "texts" if value_type == TEXT else "numbers"


_TYPES: Mapping[type, ValueType] = {str: TEXT, bool: BOOLEAN, int: INTEGER, float: FLOAT, WrittenNumber: FLOAT}

_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "string": numbers_as_text,
    "int64": int,
    "float64": float,
    "bool": bool,
    "null": lambda value: value,
}
"""Conversion of a value to the type of its column, by name of the type."""
