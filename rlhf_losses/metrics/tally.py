"""Exact means over batches: sums and counts, divided once at the end."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rlhf_losses.shapes import PerItem


@dataclass(frozen=True)
class Tally:
    """A weighted sum and the sum of its weights.

    The mean of several batches is the mean of the sum of their tallies, also if the batches differ in size.

    Attributes:
        total: weighted sum.
        count: sum of the weights.

    Examples:
        >>> (Tally(1.0, 2.0) + Tally(2.0, 2.0)).mean
        0.75
    """

    total: float = 0.0
    count: float = 0.0

    @classmethod
    def of(cls, values: PerItem, weights: PerItem | None = None) -> "Tally":
        """Return the tally of a vector, computed in float64.

        Args:
            values: one value per item.
            weights: one weight per item; by default 1.

        Examples:
            >>> Tally.of(torch.tensor([1.0, 3.0]), weights=torch.tensor([1.0, 0.5]))
            Tally(total=2.5, count=1.5)
        """
        values = values.detach().double()
        weights = torch.ones_like(values) if weights is None else weights.detach().double()
        return cls(float((values * weights).sum()), float(weights.sum()))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.total + other.total, self.count + other.count)

    @property
    def mean(self) -> float:
        """Weighted mean; NaN if the count is 0."""
        return self.total / self.count if self.count else float("nan")


def add_tallies(first: Mapping[str, Tally], second: Mapping[str, Tally]) -> dict[str, Tally]:
    """Add the tallies of two mappings name by name.

    Examples:
        >>> add_tallies({"accuracy": Tally(1, 2)}, {"accuracy": Tally(3, 4), "margin": Tally(5, 1)})["accuracy"]
        Tally(total=4, count=6)
    """
    return {name: first.get(name, Tally()) + second.get(name, Tally()) for name in {**first, **second}}
