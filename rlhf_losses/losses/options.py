"""Options of losses: fields that know their domain, so that other values are refused and `list --json` can tell it."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any

from rlhf_losses.errors import InvalidLossError
from rlhf_losses.feedback import Rankings

SMALLEST = 1e-6
"""The least number that an option which scores are divided by may be: any smaller, and large scores would overflow."""

LEARNED = "learned"
"""Stands for a number that is learned beside the model, see `Loss.loss_parameters`."""


class Domain(ABC):
    """The values that an option may take."""

    @abstractmethod
    def admits(self, value: Any) -> bool:
        """Tell whether `value` is one of them."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the domain in words, as in "It must be …"."""


@dataclass(frozen=True)
class Numbers(Domain):
    """Finite numbers from `low`, or above it, to `high`, or below it."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def admits(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return (value > self.low if self.above else value >= self.low) and (
            value < self.high if self.below else value <= self.high
        )

    def __str__(self) -> str:
        start = f"{'above' if self.above else 'from'} {self.low:g}"
        if self.high == math.inf:
            return f"a finite number {start}"
        return f"a finite number {start} to {'below ' if self.below else ''}{self.high:g}"


@dataclass(frozen=True)
class Counts(Domain):
    """Whole numbers from `least`; None, where it is admitted, means all."""

    least: int
    or_all: bool = False

    def admits(self, value: Any) -> bool:
        if value is None:
            return self.or_all
        return isinstance(value, int) and not isinstance(value, bool) and value >= self.least

    def __str__(self) -> str:
        return f"a whole number from {self.least}{', or None for all' if self.or_all else ''}"


@dataclass(frozen=True)
class Words(Domain):
    """One of some words."""

    words: tuple[str, ...]

    def admits(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.words

    def __str__(self) -> str:
        return " or ".join(repr(word) for word in self.words)


@dataclass(frozen=True)
class Learnable(Numbers):
    """Finite numbers, or the word for a number that is learned beside the model."""

    def admits(self, value: Any) -> bool:
        return value == LEARNED or super().admits(value)

    def __str__(self) -> str:
        return f"{super().__str__()}, or {LEARNED!r}"


@dataclass(frozen=True)
class Weights(Domain):
    """Names with a number each, not all of them 0, as text."""

    def admits(self, value: Any) -> bool:
        try:
            parts = [part.split("=") for part in value.split(",")]
            named = {name.strip(): float(weight) for name, weight in parts}
        except (AttributeError, ValueError):
            return False
        sane = all(named) and all(map(math.isfinite, named.values())) and any(named.values())
        return sane and len(named) == len(parts)

    def __str__(self) -> str:
        return "a text of different names, each with a finite number, not all 0"


def _is_one_loss(value: Any) -> bool:
    return hasattr(value, "terms") and all(term.loss is value for term in value.terms)


@dataclass(frozen=True)
class LossesOfLists(Domain):
    """Single losses that price rankings of answers, or the pairs in them."""

    def admits(self, value: Any) -> bool:
        return _is_one_loss(value) and Rankings.is_convertible_to(value.feedback_type)

    def __str__(self) -> str:
        return "a loss of rankings or pairs, and no sum"


def number(default: float, low: float, high: float = math.inf, *, above: bool = False, below: bool = False) -> Any:
    """Declare an option that is a finite number."""
    return option(default, Numbers(low, high, above, below))


def learnable(low: float) -> Any:
    """Declare an option that is a finite number, or learned, which is the default."""
    return option(LEARNED, Learnable(low))


def count(default: int | None, least: int) -> Any:
    """Declare an option that is a whole number; with the default None, None means all."""
    return option(default, Counts(least, or_all=default is None))


def word(default: str, *others: str) -> Any:
    """Declare an option that is one of some words."""
    return option(default, Words((default, *others)))


def loss_of_lists(default: Any) -> Any:
    """Declare an option that is a loss itself."""
    return option(default, LossesOfLists())


def weights(default: str) -> Any:
    """Declare an option that gives names their weights, like `"helpfulness=0.7, verbosity=-0.2"`."""
    return option(default, Weights())


def written(value: Any) -> str:
    """Return the value of an option as it is written in the text of a loss."""
    return str(value) if hasattr(value, "terms") else repr(value)


def option(default: Any, domain: Domain) -> Any:
    """Declare an option with a domain of its own."""
    return field(default=default, metadata={"domain": domain})


def require_options(loss: Any) -> None:
    """Raise `InvalidLossError` unless every declared option of a loss lies in its domain."""
    for f in fields(loss):
        domain, value = f.metadata.get("domain"), getattr(loss, f.name)
        if domain is not None and not domain.admits(value):
            raise InvalidLossError(
                f"{loss.name()} got {f.name}={written(value)}. It must be {domain}; "
                f"write for example {loss.name()}({f.name}={written(f.default)})."
            )
