"""Checks of the types and ranges of settings in configurations that are dataclasses."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from inspect import get_annotations
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rlhf_losses.checks.argument_checks import require_choice
from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.messages.setting_names import setting

TYPE_NAMES: Mapping[Any, str] = {
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "a string",
    NoneType: "None",
}
"""Types that are checked. A setting with another type, such as a mapping, is not checked here."""

LIMITS = ("max_grad_norm",)
"""Settings for which infinity means no limit."""


@dataclass(frozen=True)
class Range:
    """The numbers that a setting accepts. None is accepted where the setting can be None.

    Attributes:
        low: the smallest number.
        reason: a sentence why there are no others.
        high: the largest number, or None for no limit.
        exclude_low: exclude `low`.
    """

    low: float
    reason: str
    high: float | None = None
    exclude_low: bool = False

    def accepts(self, value: float) -> bool:
        """Return whether a number is in the range; NaN is not."""
        above = value > self.low if self.exclude_low else value >= self.low
        return above and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        """Return a description that completes the sentence "Use a number ..."."""
        if self.high is None:
            return f"{'above' if self.exclude_low else 'of at least'} {self.low}"
        return f"between {self.low} and {self.high}"


def plain_number(value: Any) -> Any:
    """Return a number of another library as an `int` or a `float`; other values unchanged.

    Examples:
        >>> import numpy as np
        >>> plain_number(np.float64(0.5)), plain_number(np.int64(3)), plain_number(True)
        (0.5, 3, True)
    """
    if type(value) in (bool, int, float) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def require_setting_types(config: Any, base: type) -> None:
    """Raise `InvalidSettingError` unless the settings of a configuration have the types of their annotations.

    Numbers of other libraries, such as numpy, are replaced by numbers of Python.

    Args:
        config: a dataclass.
        base: its base class, of whose settings only texts in place of numbers are refused.
    """
    annotations = get_type_hints(type(config))
    derived = type(config).__mro__[: type(config).__mro__.index(base)]
    own = {name for cls in derived for name in get_annotations(cls)}
    for name in (one.name for one in fields(base) if one.name not in own):
        if isinstance(getattr(config, name), str) and set(_members(annotations[name])) <= {int, float, NoneType}:
            own.add(name)
    for name in (one.name for one in fields(config) if one.name in own):
        value = plain_number(getattr(config, name))
        setattr(config, name, value)
        types = _members(annotations[name])
        if choices := [choice for one in types if get_origin(one) is Literal for choice in get_args(one)]:
            require_choice(value, [*choices, *([None] if NoneType in types else [])], name)
        elif all(one in TYPE_NAMES for one in types) and not _is_one_of(value, types):
            needed = " or ".join(TYPE_NAMES[one] for one in types)
            raise InvalidSettingError(
                f"{name}={value!r} has the type {type(value).__name__}, but this setting is {needed}. "
                f"Pass a value of this type, or omit {name}."
            )


def require_ranges(config: Any, ranges: Mapping[str, Range]) -> None:
    """Raise `InvalidSettingError` for a setting outside its range.

    Args:
        config: the configuration.
        ranges: range of each setting.
    """
    for name, allowed in ranges.items():
        value = getattr(config, name)
        if value is not None and not allowed.accepts(value):
            raise InvalidSettingError(
                f"{name}={value} is out of range. {allowed.reason} Use a number {allowed}, or omit {name}."
            )


def require_finite_settings(config: Any) -> None:
    """Raise `InvalidSettingError` for a setting that is NaN, or infinite and not a limit.

    Args:
        config: a configuration.

    Examples:
        >>> from types import SimpleNamespace
        >>> require_finite_settings(SimpleNamespace(learning_rate=1e-4, max_grad_norm=math.inf))
        >>> require_finite_settings(SimpleNamespace(beta=math.inf))
        Traceback (most recent call last):
        rlhf_losses.errors.InvalidSettingError: beta is inf, but it must be a finite number. Change beta.
    """
    for name, value in vars(config).items():
        no_limit = name in LIMITS and value == math.inf
        if isinstance(value, float) and not math.isfinite(value) and not no_limit:
            raise InvalidSettingError(f"{name} is {value}, but it must be a finite number. Change {setting(name)}.")


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_one_of(value: Any, types: Iterable[Any]) -> bool:
    accepted = {float: (int, float)}
    for one in types:
        if isinstance(value, accepted.get(one, one)) and (one is bool or not isinstance(value, bool)):
            return True
    return False
