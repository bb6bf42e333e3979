"""AttentionOptions far any scorer can agree with what was said: one number a text cannot please annotators who differ."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from rlhf_losses.inspection.comparisons import Comparisons

LARGEST = 12
"""The most texts that prefer each other in a circle for which every order is tried."""


@dataclass(frozen=True)
class Ceiling:
    """The best share of decided voices; an upper bound where a circle has too many texts to try every order."""

    share: float
    exact: bool


def ceiling(said: Comparisons) -> Ceiling | None:
    """Return the best agreement that one score a text can reach, or nothing where nobody decided.

    Of two texts the side with more voices is taken, unless texts are preferred in a circle (A over B over C over A):
    then the order is taken that loses the fewest voices. Circles lie within the strongly connected parts of the graph
    of majorities, so that only those are searched.

    >>> A, B, C = 0, 1, 2
    >>> circle = Comparisons(np.array([A, B, A]), np.array([B, C, C]), *np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1.0]]))
    >>> round(ceiling(circle).share, 3)
    0.667
    """
    decided = float((said.wins + said.defeats).sum())
    if not decided:
        return None
    agreed = float(np.maximum(said.wins, said.defeats).sum())
    lost, exact = _lost_in_circles(said)
    return Ceiling((agreed - lost) / decided, exact)


def agreement_of_two(said: Comparisons) -> float:
    """Return how often two annotators of the same two texts say the same, a tie being one of three answers.

    It is estimated without bias from all texts with two annotations or more; not a number where there are none.
    """
    counts = np.stack([said.wins, said.ties, said.defeats])
    several = (said.annotations > 1) & (counts == counts.round()).all(axis=0)
    counts, voices = counts[:, several], said.annotations[several]
    if not several.any():
        return math.nan
    return float(((counts * (counts - 1)).sum(axis=0) / (voices * (voices - 1))).mean())


def _lost_in_circles(said: Comparisons) -> tuple[float, bool]:
    vote_difference = said.wins - said.defeats
    better = np.where(vote_difference > 0, said.first, said.second)[vote_difference != 0]
    worse = np.where(vote_difference > 0, said.second, said.first)[vote_difference != 0]
    weight = np.abs(vote_difference[vote_difference != 0])
    names, numbers = np.unique(np.concatenate([better, worse]), return_inverse=True)
    better, worse = numbers[: len(better)], numbers[len(better) :]
    graph = coo_array((weight, (better, worse)), shape=(len(names), len(names))).tocsr()
    _, part = connected_components(graph, directed=True, connection="strong")
    lost, exact = 0.0, True
    for circle in np.flatnonzero(np.bincount(part) > 1):
        texts = np.flatnonzero(part == circle)
        exact = exact and len(texts) <= LARGEST
        if len(texts) <= LARGEST:
            lost += _lost(graph[texts][:, texts].toarray())
    return lost, exact


def _lost(weight: np.ndarray) -> float:
    """Return the least weight of edges that point upwards in any order; `weight[i, j]` is the edge from i to j."""
    count = len(weight)
    # The best order of a set of texts puts one of them last: all edges from the others to it point downwards.
    best = np.full(1 << count, -np.inf)
    best[0] = 0.0
    for chosen in range(1 << count):
        inside = np.array([bool(chosen >> i & 1) for i in range(count)])
        gained = weight[inside].sum(axis=0)
        for last in np.flatnonzero(~inside):
            target = chosen | 1 << int(last)
            best[target] = max(best[target], best[chosen] + gained[last])
    return float(weight.sum() - best[-1])
