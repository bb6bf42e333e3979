"""Checks of the types of arguments, for functions that users call."""

from collections.abc import Iterable, Mapping
from typing import Any

from rlhf_losses.errors import InvalidArgumentError, InvalidSettingError, did_you_mean


def describe_type(value: object) -> str:
    """Return the end of a sentence about an argument: its type, or the class that was passed in place of an object.

    Examples:
        >>> describe_type([1]), describe_type(None), describe_type(dict)
        ('has the type list', 'is None', 'is the class dict')
    """
    if value is None:
        return "is None"
    return f"is the class {value.__name__}" if isinstance(value, type) else f"has the type {type(value).__name__}"


def require_instance(
    value: object, accepted: type[Any] | tuple[type[Any], ...], name: str, use: str, remedy: str
) -> None:
    """Raise `InvalidArgumentError` unless an argument has an accepted type.

    Args:
        value: the argument.
        accepted: types that are accepted.
        name: name of the argument.
        use: what the argument must be; it completes the sentence "`name` has the type list, but it must be ...".
        remedy: a sentence about how to continue.

    Examples:
        >>> require_instance("bradley_terry", str, "text", "a string", "Pass a string.")
    """
    if not isinstance(value, accepted):
        raise InvalidArgumentError(f"`{name}` {describe_type(value)}, but it must be {use}. {remedy}")


def require_positive(value: object, name: str) -> None:
    """Raise `InvalidSettingError` unless an argument is an integer of at least 1.

    Examples:
        >>> require_positive(32, "batch_size")
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidSettingError(f"{name}={value!r} is not an integer of at least 1. Pass for example {name}=32.")


def require_choice(value: object, choices: Iterable[object], name: str) -> None:
    """Raise `InvalidSettingError` unless an argument is one of several values.

    Examples:
        >>> require_choice("drop", ("drop", "error"), "overlong")
    """
    choices = list(choices)
    if value not in choices:
        raise InvalidSettingError(
            f"{name}={value!r} is not a value of this argument. Use one of {', '.join(map(repr, choices))}."
        )


def require_known_arguments(
    given: Iterable[str], known: Iterable[str], owner: str, other_names: Mapping[str, str] | None = None
) -> None:
    """Raise `InvalidArgumentError` for the first keyword argument that a function does not have.

    Args:
        given: names of the keyword arguments that were passed.
        known: names of the arguments of the function.
        owner: name of the function in the message.
        other_names: right names of arguments that are often passed under another name.

    Examples:
        >>> require_known_arguments(["key"], ["iterable", "key"], "sorted")
    """
    known = list(known)
    for name in given:
        if name not in known:
            right = (other_names or {}).get(name)
            advice = f" Pass it as {right}=…." if right else did_you_mean(name, known)
            raise InvalidArgumentError(
                f"{owner} received the argument {name}, which it does not have.{advice} "
                f"See help({owner}) for all arguments."
            )
