"""Values of the `--config` file: their types, which the parser of the command line does not check."""

import types
from collections.abc import Iterable, Mapping
from typing import Any, Union, get_args, get_origin

from rlhf_losses.cli.argument_parser import CommandLineError, refuse_old_value
from rlhf_losses.errors import shown

CONFIG_FILE = " in the --config file"

NAMES: Mapping[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    list[str]: "a list of texts",
    list[float]: "a list of numbers",
    dict: "a mapping",
}
"""Types that are checked, as messages name them."""

ALSO_MAPPINGS = ("columns",)
"""Settings of texts whose other form is a mapping."""


def members(annotation: Any) -> set[Any]:
    """Return the types that an annotation allows; a mapping is `dict`.

    Examples:
        >>> sorted(map(str, members(dict[str, int] | None)))
        ["<class 'NoneType'>", "<class 'dict'>"]
    """
    is_union = get_origin(annotation) in (Union, types.UnionType)
    found = get_args(annotation) if is_union else [annotation]
    return {dict if get_origin(one) is dict else one for one in found}


def typed_value(name: str, value: Any, allowed: set[Any]) -> Any:
    """Return a value as one of the types of a setting. Texts that are parsed later are returned unchanged.

    Args:
        name: name of the setting.
        value: its value in the file, not null.
        allowed: types of the setting. Without types, or with one that is not in `NAMES`, the value is not checked.

    Raises:
        CommandLineError: the value has another type.
    """
    allowed = allowed - {types.NoneType}
    if not allowed or not allowed <= set(NAMES) or (isinstance(value, str) and allowed != {list[float]}):
        return value
    if list[float] in allowed and isinstance(value, list):
        return [_number(name, one) for one in value]
    if isinstance(value, Mapping) and name in ALSO_MAPPINGS:
        return value
    if not any(_has_type(value, one) for one in allowed):
        _refuse(name, value, allowed)
    return int(value) if int in allowed and isinstance(value, float) else value


def checked_choice(name: str, value: Any, choices: Iterable[Any] | None) -> Any:
    """Return the value of a setting with choices.

    Args:
        name: name of the setting.
        value: its value in the file.
        choices: the values that it can have, or None for any.

    Raises:
        CommandLineError: the value is none of the choices.
    """
    if choices is None or value is None or value in list(choices):  # a list, because the value can be one
        return value
    if value is False and "no" in choices:  # YAML converts an unquoted no to False
        return "no"
    refuse_old_value(f"--{name}", value, CONFIG_FILE)
    raise CommandLineError(f"The --config file has {name}: {value!r}. Choose one of: {', '.join(map(str, choices))}.")


def _has_type(value: Any, allowed: Any) -> bool:
    if isinstance(value, bool):
        return allowed is bool
    if allowed is int:
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if allowed is float:
        return isinstance(value, int | float)
    if allowed == list[str]:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return allowed in (str, dict) and isinstance(value, allowed)


def _number(name: str, value: Any) -> float:
    """Return a number of a list; YAML reads 1e-3 as a text."""
    try:
        if not isinstance(value, bool | int | float | str) or isinstance(value, bool):
            raise ValueError
        return float(value)
    except (ValueError, OverflowError):
        raise CommandLineError(
            f"The --config file has {shown(value)} in {name}, which is not a number. Write a list of numbers."
        ) from None


def _refuse(name: str, value: Any, allowed: Iterable[Any]) -> None:
    needed = " or ".join(NAMES[one] for one in NAMES if one in allowed)
    remedy = f"Write {needed}."
    if not {str, list[str]}.isdisjoint(allowed):
        remedy = 'Write texts that look like another value in quotes, for example "5".'
    raise CommandLineError(f"The --config file has {name}: {shown(value)}, which is not {needed}. {remedy}")
