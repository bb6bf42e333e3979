"""Types of JSON values: whether a value that was read from a file has the type of an annotation."""

import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def has_json_type(value: Any, annotation: Any) -> bool:
    """Return whether a JSON value has the type of an annotation. Numbers must be finite.

    Args:
        value: a value from `json.loads`.
        annotation: `str`, `int`, `float`, `bool`, `None`, `Any`, a `Literal`, a union, or a list or dict of these.

    Examples:
        >>> has_json_type({"a": [1.0, 2]}, dict[str, list[float]]), has_json_type([1, "2"], list[int])
        (True, False)
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return any(has_json_type(value, one) for one in arguments)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in arguments)
    if origin is list:
        return isinstance(value, list) and all(has_json_type(one, arguments[0]) for one in value)
    if origin is dict:
        return isinstance(value, Mapping) and all(has_json_type(one, arguments[1]) for one in value.values())
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return annotation is Any or isinstance(value, NoneType if annotation is None else annotation)


def wrong_json_field(content: Mapping[str, Any], dataclass_type: type) -> str | None:
    """Return the name of the first field of a dataclass whose JSON value has another type, or None.

    Args:
        content: values by name; other names are ignored.
        dataclass_type: the dataclass.
    """
    annotations = get_type_hints(dataclass_type)
    names = (name for name in annotations if name in content)
    return next((name for name in names if not has_json_type(content[name], annotations[name])), None)
