"""What a loss may claim about itself; the conformance kit tests every claim."""

from enum import Flag, auto


class LossProperty(Flag):
    """Properties of a loss as a function of the scores."""

    NONE = 0
    SHIFT_INVARIANT = auto()
    """Adding one constant to every score changes no item: the zero of the scores is free."""
    HOMOGENEOUS = auto()
    """Scores, and all that is said or learned in their unit (margins, ratings), times c > 0 cost each item times one
    power of c: the loss has no unit of its own, and the scale of the scores is that of the data."""
    MONOTONE = auto()
    """Raising the score of what people surely approved of, or lowering what they surely turned down, never raises
    the cost of its item. Soft preferences, ties and the middle of a list promise nothing."""
    NON_NEGATIVE = auto()
    """No item costs less than nothing."""
    CONVEX = auto()
    """Each item is a convex function of the scores."""
    REVERSIBLE = auto()
    """What people said the other way round, about negated scores, costs the same."""
    PROPER = auto()
    """The cost is the negative logarithm of a probability: over all that could have been said instead, the
    exponentials of −cost add up to the same at any scores. Such costs are least, on average, at the true scores."""

    def words(self) -> list[str]:
        """Return the claims as lower-case words, for people.

        >>> (LossProperty.SHIFT_INVARIANT | LossProperty.CONVEX).words()
        ['shift invariant', 'convex']
        """
        return [(claim.name or "").lower().replace("_", " ") for claim in LossProperty if claim in self]


SHIFT_INVARIANT = LossProperty.SHIFT_INVARIANT
HOMOGENEOUS = LossProperty.HOMOGENEOUS
MONOTONE = LossProperty.MONOTONE
NON_NEGATIVE = LossProperty.NON_NEGATIVE
CONVEX = LossProperty.CONVEX
REVERSIBLE = LossProperty.REVERSIBLE
PROPER = LossProperty.PROPER
