"""Options of losses: dataclass fields with a domain, and the string form of an instance with options."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from rlhf_losses.checks.setting_types import plain_number
from rlhf_losses.errors import InvalidLossError, PluginError, shown
from rlhf_losses.messages.class_names import snake_case

SMALLEST = 1e-6
"""Smallest value of an option that scores are divided by; a smaller one would make large scores overflow."""

LARGEST = 1e9
"""Largest absolute value of a number; with a larger one, large scores would overflow."""

LEARNED = "learned"
"""Value of an option that is a trainable parameter instead of a number; see `Loss.loss_parameters`."""


class Domain(ABC):
    """The set of values that an option accepts."""

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Return whether `value` is in the domain."""

    @abstractmethod
    def __str__(self) -> str:
        """Return a description that completes the sentence "The option must be ..."."""


@dataclass(frozen=True)
class Interval(Domain):
    """Finite numbers between two bounds.

    Attributes:
        low: lower bound.
        high: upper bound.
        exclude_low: exclude the lower bound.
        exclude_high: exclude the upper bound.
    """

    low: float
    high: float = math.inf
    exclude_low: bool = False
    exclude_high: bool = False

    def accepts(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
            return False
        return (value > self.low if self.exclude_low else value >= self.low) and (
            value < self.high if self.exclude_high else value <= self.high
        )

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"a finite number {'greater than' if self.exclude_low else 'of at least'} {self.low:g}"
        brackets = "(" if self.exclude_low else "[", ")" if self.exclude_high else "]"
        return f"a number in {brackets[0]}{self.low:g}, {self.high:g}{brackets[1]}"


@dataclass(frozen=True)
class Integer(Domain):
    """Integers from a lower bound.

    Attributes:
        low: smallest integer.
        or_none: also accept None, which means all.
        high: largest integer, or None for no limit.
    """

    low: int
    or_none: bool = False
    high: int | None = None

    def accepts(self, value: Any) -> bool:
        if value is None:
            return self.or_none
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return value >= self.low and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        high = "" if self.high is None else f" and at most {self.high}"
        return f"an integer of at least {self.low}{high}{', or None for all' if self.or_none else ''}"


@dataclass(frozen=True)
class Choice(Domain):
    """One of several strings."""

    choices: tuple[str, ...]

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.choices

    def __str__(self) -> str:
        *others, last = map(repr, self.choices)
        return f"{', '.join(others)} or {last}"


@dataclass(frozen=True)
class LearnableNumber(Interval):
    """Finite numbers between two bounds, or `'learned'`."""

    def accepts(self, value: Any) -> bool:
        return value == LEARNED or super().accepts(value)

    def __str__(self) -> str:
        return f"{super().__str__()}, or {LEARNED!r}"


@dataclass(frozen=True)
class NamedWeights(Domain):
    """Strings of names with a finite number each, not all 0, such as `"helpfulness=0.7, verbosity=-0.2"`."""

    def accepts(self, value: Any) -> bool:
        try:
            parts = [part.split("=") for part in value.split(",")]
            weights = {name.strip(): float(weight) for name, weight in parts}
        except (AttributeError, ValueError):
            return False
        valid = all(weights) and all(abs(weight) <= LARGEST for weight in weights.values()) and any(weights.values())
        return valid and len(weights) == len(parts)

    def __str__(self) -> str:
        return "a string of distinct names with a finite number each, not all 0"


def number(
    default: float, low: float, high: float = math.inf, *, exclude_low: bool = False, exclude_high: bool = False
) -> Any:
    """Declare an option that is a finite number between two bounds.

    Args:
        default: value without the option.
        low: lower bound.
        high: upper bound.
        exclude_low: exclude the lower bound.
        exclude_high: exclude the upper bound.
    """
    return option(default, Interval(low, high, exclude_low, exclude_high))


def learnable_number(low: float) -> Any:
    """Declare an option that is a number of at least `low`, or `'learned'`, which is the default."""
    return option(LEARNED, LearnableNumber(low))


def integer(default: int | None, low: int, high: int | None = None) -> Any:
    """Declare an option that is an integer from `low` to `high`; with the default None, None means all."""
    return option(default, Integer(low, default is None, high))


def choice(default: str, *others: str) -> Any:
    """Declare an option that is one of several strings."""
    return option(default, Choice((default, *others)))


def named_weights(default: str) -> Any:
    """Declare an option that is a string of names and weights, such as `"helpfulness=0.7, verbosity=-0.2"`."""
    return option(default, NamedWeights())


def option(default: Any, domain: Domain) -> Any:
    """Declare an option with any domain."""
    return field(default=default, metadata={"domain": domain})


@dataclass(frozen=True)
class Expression(ABC):  # noqa: B024
    """Base class of frozen dataclasses with a string form: a name, with options in parentheses.

    The fields are the options. `parse_call` parses the string form to an equal instance.
    """

    def __post_init__(self) -> None:
        require_options(self)

    @classmethod
    def name(cls) -> str:
        """Return the name: the class name in snake case.

        Examples:
            >>> from rlhf_losses.losses import BradleyTerry
            >>> BradleyTerry.name()
            'bradley_terry'
        """
        return snake_case(cls.__name__)

    def __str__(self) -> str:
        """Return the string form, without the options that have their default value."""
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        options = ", ".join(f"{name}={format_option(value)}" for name, value in changed.items())
        return f"{self.name()}({options})" if options else self.name()


def format_option(value: Any) -> str:
    """Return the value of an option as a string."""
    return str(value) if isinstance(value, Expression) else repr(value)


def _shown_option(value: Any) -> str:
    return format_option(value) if isinstance(value, Expression | float) else shown(value)


def require_options(expression: Expression) -> None:
    """Raise `InvalidLossError` if an option is outside its domain; numbers of numpy become numbers of Python."""
    for f in fields(expression):
        domain, value = f.metadata.get("domain"), plain_number(getattr(expression, f.name))
        object.__setattr__(expression, f.name, value)
        if domain is not None and not domain.accepts(value):
            name = expression.name()
            raise InvalidLossError(
                f"{name} received {f.name}={_shown_option(value)}, but this option must be {domain}. "
                f"Write for example {name}({f.name}={format_option(f.default)})."
            )
        if isinstance(value, int | float) and abs(value) > LARGEST:
            raise InvalidLossError(
                f"{expression.name()} received {f.name}={shown(value)}, but losses with a number above {LARGEST:g} "
                "overflow. Use a smaller number."
            )


def require_dataclass(expression_class: type) -> None:
    """Raise `PluginError` if a class lacks its own `@dataclass(frozen=True)`."""
    params = expression_class.__dict__.get("__dataclass_params__")
    if not is_dataclass(expression_class) or params is None or not params.frozen:
        raise PluginError(
            f"{expression_class.__name__} is not a frozen dataclass, so its options have no string form. "
            "Add @dataclass(frozen=True) above the class."
        )
