"""Mathematical properties of losses; `rlhf_losses.testing.check_loss` tests each of them."""

from enum import Flag, auto


class LossProperty(Flag):
    """Properties of a loss as a function of the scores."""

    NONE = 0
    SHIFT_INVARIANT = auto()
    """Adding a constant to all scores changes no value, so the zero of the scores is arbitrary."""
    HOMOGENEOUS = auto()
    """Multiplying scores, margins, ratings and loss parameters in score units by c > 0 multiplies every value by the
    same power of c. The loss has no score unit of its own, so the data determine the scale of the scores."""
    MONOTONE = auto()
    """A higher score of a preferred answer, or a lower score of a rejected answer, never increases the value of its
    item. Soft preferences, ties and the middle of a list are excluded."""
    NON_NEGATIVE = auto()
    """No value is negative."""
    CONVEX = auto()
    """Each value is a convex function of the scores."""
    REVERSIBLE = auto()
    """The opposite feedback on negated scores has the same value."""
    PROPER = auto()
    """The value is a negative log-likelihood: the exponentials of the negative values add up to a constant over all
    possible feedback. The expectation of such a loss is minimal at the true scores."""

    def words(self) -> list[str]:
        """Return the names of the properties in lower case.

        Examples:
            >>> (LossProperty.SHIFT_INVARIANT | LossProperty.CONVEX).words()
            ['shift invariant', 'convex']
        """
        return [(one.name or "").lower().replace("_", " ") for one in LossProperty if one in self]


SHIFT_INVARIANT = LossProperty.SHIFT_INVARIANT
HOMOGENEOUS = LossProperty.HOMOGENEOUS
MONOTONE = LossProperty.MONOTONE
NON_NEGATIVE = LossProperty.NON_NEGATIVE
CONVEX = LossProperty.CONVEX
REVERSIBLE = LossProperty.REVERSIBLE
PROPER = LossProperty.PROPER
