"""Agreement between two annotators of the same comparison."""

import numpy as np

from rlhf_losses.inspection.comparisons import Comparisons


def annotator_agreement(comparisons: Comparisons) -> float | None:
    r"""Return the probability that two annotators give the same annotation, with a tie as one of three annotations.

    Each comparison $i$ with $n_i \ge 2$ annotations, of which $n_{ik}$ have the value $k$ (win, tie or defeat), gives
    an unbiased estimate. The result is their mean, which is the observed agreement of Fleiss' kappa:

    $$\bar P = \frac{1}{N} \sum_i \frac{\sum_k n_{ik} (n_{ik} - 1)}{n_i (n_i - 1)}$$

    Args:
        comparisons: comparisons with counts of annotations. Fractional counts are ignored.

    Returns:
        The agreement, or `None` if no comparison has two annotations.

    References:
        Fleiss (1971), Measuring nominal scale agreement among many raters, Psychological Bulletin 76(5).

    Examples:
        >>> two_of_three = np.array([[2.0], [0.0], [1.0]])
        >>> round(annotator_agreement(Comparisons(np.array([0]), np.array([1]), *two_of_three)), 3)
        0.333
    """
    counts = np.stack([comparisons.wins, comparisons.ties, comparisons.defeats])
    total = comparisons.annotations
    usable = (total > 1) & (counts == counts.round()).all(axis=0)
    if not usable.any():
        return None
    counts, total = counts[:, usable], total[usable]
    return float(((counts * (counts - 1)).sum(axis=0) / (total * (total - 1))).mean())
