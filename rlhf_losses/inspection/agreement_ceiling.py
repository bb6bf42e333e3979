"""Agreement ceiling: the largest share of annotations that one score per text can match."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlhf_losses.inspection.comparisons import Comparisons

MAX_EXACT_TEXTS = 12
"""Largest number of texts in a cycle of preferences for which the best order is searched."""


@dataclass(frozen=True)
class AgreementCeiling:
    """The largest agreement of any scorer with the annotations.

    Attributes:
        share: share of the annotations without ties, from 0 to 1.
        is_exact: whether the share is exact. It is an upper bound if a cycle has more than `MAX_EXACT_TEXTS` texts.
    """

    share: float
    is_exact: bool


def agreement_ceiling(comparisons: Comparisons, equal: float = 0.0) -> AgreementCeiling | None:
    """Return the largest share of preferences that one score per text can match.

    The best scorer agrees with the majority of each comparison, unless majorities form a cycle (A over B, B over C, C
    over A). Then the best order of the texts violates the fewest annotations (minimum feedback arc set). Cycles lie
    within the strongly connected components of the graph of majorities, so each component is searched separately. Two
    equal texts have equal scores, which count 0.5 as in the accuracy.

    Args:
        comparisons: comparisons whose sides are text ids, each pair of different texts once.
        equal: number of preferences between two equal texts.

    Returns:
        The ceiling, or `None` if all annotations are ties.

    Examples:
        >>> a, b, c = 0, 1, 2
        >>> counts = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1.0]])  # wins, ties, defeats
        >>> cycle = Comparisons(np.array([a, b, a]), np.array([b, c, c]), *counts)
        >>> round(agreement_ceiling(cycle).share, 3)
        0.667
        >>> agreement_ceiling(cycle, equal=3).share
        0.5833333333333334
    """
    total = float((comparisons.wins + comparisons.defeats).sum()) + equal
    if not total:
        return None
    of_majorities = float(np.maximum(comparisons.wins, comparisons.defeats).sum())
    violated, is_exact = _violated_by_cycles(comparisons)
    return AgreementCeiling((of_majorities - violated + equal / 2) / total, is_exact)


def _violated_by_cycles(comparisons: Comparisons) -> tuple[float, bool]:
    """Return the weight of majorities that every order violates, and whether all cycles were searched."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    vote_difference = comparisons.wins - comparisons.defeats
    decided = vote_difference != 0
    better = np.where(vote_difference > 0, comparisons.first, comparisons.second)[decided]
    worse = np.where(vote_difference > 0, comparisons.second, comparisons.first)[decided]
    texts, index = np.unique(np.concatenate([better, worse]), return_inverse=True)
    edges = (index[: len(better)], index[len(better) :])
    graph = coo_array((np.abs(vote_difference[decided]), edges), shape=(len(texts), len(texts))).tocsr()
    _, component = connected_components(graph, directed=True, connection="strong")
    violated, is_exact = 0.0, True
    for cyclic in np.flatnonzero(np.bincount(component) > 1):
        members = np.flatnonzero(component == cyclic)
        if len(members) > MAX_EXACT_TEXTS:
            is_exact = False
        else:
            violated += _minimum_feedback_arc_weight(graph[members][:, members].toarray())
    return violated, is_exact


def _minimum_feedback_arc_weight(weight: NDArray[np.float64]) -> float:
    """Return the least total weight of edges from later to earlier nodes over all orders; `weight[i, j]` is i → j."""
    count = len(weight)
    # Dynamic programming over sets: the best order of a set has one last node, and all edges to it go forward.
    best = np.full(1 << count, -np.inf)
    best[0] = 0.0
    for chosen in range(1 << count):
        inside = np.array([bool(chosen >> i & 1) for i in range(count)])
        forward = weight[inside].sum(axis=0)
        for last in np.flatnonzero(~inside):
            target = chosen | 1 << int(last)
            best[target] = max(best[target], best[chosen] + forward[last])
    return float(weight.sum() - best[-1])
