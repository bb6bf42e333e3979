"""Means that stay exact: a sum and a count travel together until the last moment."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rlhf_losses.shapes import PerItem


@dataclass(frozen=True)
class Tally:
    """A weighted sum and the sum of its weights.

    >>> (Tally(1.0, 2.0) + Tally(2.0, 2.0)).mean
    0.75
    """

    total: float = 0.0
    count: float = 0.0

    @classmethod
    def of(cls, values: PerItem, weights: PerItem | None = None) -> "Tally":
        """WeightedSum up a vector."""
        values = values.detach().double()
        weights = torch.ones_like(values) if weights is None else weights.detach().double()
        return cls(float((values * weights).sum()), float(weights.sum()))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.total + other.total, self.count + other.count)

    @property
    def mean(self) -> float:
        """Return the mean, or NaN where nothing was counted."""
        return self.total / self.count if self.count else float("nan")


def add_tallies(first: Mapping[str, Tally], second: Mapping[str, Tally]) -> dict[str, Tally]:
    """Add tallies name by name."""
    return {name: first.get(name, Tally()) + second.get(name, Tally()) for name in {**first, **second}}
