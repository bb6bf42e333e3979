"""Agreement between annotators of the same items."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rlhf_losses.checks.optional_packages import require_packages
from rlhf_losses.inspection.annotations import FloatMatrix, FloatVector
from rlhf_losses.inspection.comparisons import Comparisons


@dataclass(frozen=True)
class AnnotatorAgreement:
    """Agreement between annotators.

    Attributes:
        items: number of items with at least two annotations.
        per_item: probability that two annotations of an item are equal; the mean over items.
        pooled: share of equal pairs among all pairs of annotations of the same item; items with many annotations count
            more.
        alpha: Krippendorff's alpha: 1 is perfect agreement, 0 is agreement by chance. `None` if all annotations are
            equal, so that chance cannot be estimated.
    """

    items: int
    per_item: float
    pooled: float
    alpha: float | None


def annotator_agreement(
    comparisons: Comparisons, with_ties: bool = True, has_positions: bool = True
) -> AnnotatorAgreement | None:
    """Return the agreement on comparisons, with win, tie and defeat as three annotations.

    Args:
        comparisons: comparisons with counts of annotations. Fractional counts are ignored.
        with_ties: whether a tie is an annotation; otherwise ties are left out.
        has_positions: whether first and second are options that annotators saw. Chosen and rejected answers have no
            position, so alpha then counts every comparison in both orders: an annotator prefers either side by chance.

    Returns:
        The agreement, or `None` if no comparison has two annotations.

    Examples:
        >>> two_of_three = np.array([[2.0], [0.0], [1.0]])
        >>> found = annotator_agreement(Comparisons(np.array([0]), np.array([1]), *two_of_three))
        >>> round(found.per_item, 3)
        0.333
    """
    counts = [comparisons.wins, comparisons.ties, comparisons.defeats] if with_ties else comparisons.decided
    return agreement_of_counts(np.stack(counts, axis=1), reversible=not has_positions)


def agreement_of_counts(
    counts: FloatMatrix, values: FloatVector | None = None, reversible: bool = False
) -> AnnotatorAgreement | None:
    r"""Return the agreement of annotators from the number of annotations with each value.

    An item $i$ with $n_i \ge 2$ annotations, of which $n_{ik}$ have the value $k$, has
    $\sum_k n_{ik} (n_{ik} - 1)$ of $n_i (n_i - 1)$ ordered pairs that agree. The mean of these shares over items is the
    observed agreement of Fleiss' kappa.

    Args:
        counts: number of annotations of each item with each value, of shape (items, values). Items with fractional
            counts or fewer than two annotations are ignored.
        values: numbers for the values, in increasing order; alpha then uses squared differences (interval level).
            Without them, values either agree or do not (nominal level).
        reversible: whether the reversed counts describe the same item.

    References:
        Fleiss (1971), Measuring nominal scale agreement among many raters, Psychological Bulletin 76(5).
        Krippendorff (2019), Content Analysis: An Introduction to Its Methodology, chapter 12.
    """
    usable = (counts.sum(1) > 1) & (counts == counts.round()).all(1)
    if not usable.any():
        return None
    counts = counts[usable]
    total = counts.sum(1)
    agreeing, pairs = (counts * (counts - 1)).sum(1), total * (total - 1)
    return AnnotatorAgreement(
        items=len(counts),
        per_item=float((agreeing / pairs).mean()),
        pooled=float(agreeing.sum() / pairs.sum()),
        alpha=_alpha(np.concatenate([counts, counts[:, ::-1]]) if reversible else counts, values),
    )


def _alpha(counts: FloatMatrix, values: FloatVector | None) -> float | None:
    require_packages(["krippendorff"], "The agreement of annotators")
    import krippendorff

    if (counts.sum(0) > 0).sum() < 2:
        return None
    level: Literal["nominal", "interval"] = "nominal" if values is None else "interval"
    return float(krippendorff.alpha(value_counts=counts, value_domain=values, level_of_measurement=level))
