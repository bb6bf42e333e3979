"""Losses add and scale: `bradley_terry + 0.01 * centering`."""

import math
from dataclasses import dataclass
from functools import reduce
from operator import and_

from torch import Tensor

from rlhf_losses.errors import InvalidLossError
from rlhf_losses.feedback import Feedback
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.properties import HOMOGENEOUS, PROPER
from rlhf_losses.shapes import PerItem, Scores

_SURVIVE_ADDITION = ~(PROPER | HOMOGENEOUS)
"""What a sum of losses still is if all of them are. Exponentials of -cost of a sum, or of a multiple, add up to no
constant; and losses may grow by different powers of the scale."""


@dataclass(frozen=True)
class Term:
    """One loss and its weight in a sum."""

    weight: float
    loss: Loss

    def __str__(self) -> str:
        return str(self.loss) if self.weight == 1 else f"{_shortest(self.weight)} * {self.loss}"


@dataclass(frozen=True)
class WeightedSum(Loss):
    """A weighted sum of losses; each term reads its own feedback and is averaged over its own items.

    Weights are not negative, so that a sum is what all its terms are; see `_SURVIVE_ADDITION` for what gets lost.

    >>> from rlhf_losses.losses import bradley_terry, centering
    >>> print(bradley_terry + 0.01 * centering)
    bradley_terry + 0.01 * centering
    """

    parts: tuple[Term, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        shared = reduce(and_, (part.loss.properties for part in self.parts), _SURVIVE_ADDITION)
        object.__setattr__(self, "properties", shared)

    @classmethod
    def of(cls, *losses: Loss) -> "WeightedSum":
        """Add losses; sums among them are flattened."""
        return cls(tuple(part for loss in losses for part in _parts(loss)))

    @classmethod
    def scaled(cls, weight: float, loss: Loss) -> Loss:
        """Multiply a loss by a number."""
        parts = tuple(Term(float(weight) * part.weight, part.loss) for part in _parts(loss))
        if isinstance(weight, bool) or not all(0 <= part.weight < math.inf for part in parts):
            raise InvalidLossError(
                f"A loss was multiplied by {weight}. A negative or endless weight would reward mistakes; "
                "write a number from 0, like 0.01 * centering."
            )
        return parts[0].loss if len(parts) == 1 and parts[0].weight == 1 else cls(parts)

    @property
    def terms(self) -> tuple[Term, ...]:
        return tuple(Term(part.weight * inner.weight, inner.loss) for part in self.parts for inner in part.loss.terms)

    def forward(self, scores: Scores, feedback: Feedback, **numbers: Tensor) -> PerItem:
        raise TypeError(
            f"{self} has {len(self.parts)} terms with items of their own. "
            "Price each: [term.loss.per_item_loss(scores, feedback) for term in loss.terms]."
        )

    def __str__(self) -> str:
        return " + ".join(str(part) for part in self.parts)


@dataclass(frozen=True)
class NamedObjective(Loss):
    """A sum with a name and options of its own; `expand` says what it is the sum of."""

    def expand(self) -> Loss:
        """Return the sum that this name stands for."""
        raise NotImplementedError

    @property
    def terms(self) -> tuple[Term, ...]:
        return self.expand().terms

    def forward(self, scores: Scores, feedback: Feedback, **numbers: Tensor) -> PerItem:
        return self.expand().forward(scores, feedback, **numbers)


def term_names(loss: Loss) -> list[str]:
    """Return a name for each term; further terms of the same loss are numbered.

    >>> from rlhf_losses.losses import bradley_terry, hinge
    >>> term_names(hinge + bradley_terry + 0.5 * hinge)
    ['hinge', 'bradley_terry', 'hinge#2']
    """
    names: list[str] = []
    for term in loss.terms:
        name = term.loss.name()
        same = sum(other.split("#")[0] == name for other in names)
        names.append(name if not same else f"{name}#{same + 1}")
    return names


def _parts(loss: Loss) -> tuple[Term, ...]:
    return loss.parts if isinstance(loss, WeightedSum) else (Term(1.0, loss),)


def _shortest(weight: float) -> str:
    return str(int(weight)) if weight == int(weight) and weight < 1e9 else repr(weight)
