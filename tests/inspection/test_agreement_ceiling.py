"""The agreement ceiling equals the agreement of the best order of the texts, found here by trying every order."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.inspection.agreement_ceiling import MAX_EXACT_TEXTS, agreement_ceiling
from rlhf_losses.inspection.comparisons import Comparisons


def compared(*counts):
    """Return comparisons from (first, second, wins, ties, defeats)."""
    return Comparisons(*np.array(counts, dtype=float).reshape(-1, 5).T)


def best_order(comparisons):
    """Return the share of annotations that the best of all orders agrees with."""
    texts = sorted({*comparisons.first, *comparisons.second})
    decided = (comparisons.wins + comparisons.defeats).sum()

    def agreed(order):
        place = {text: -i for i, text in enumerate(order)}
        sides = zip(comparisons.first, comparisons.second, comparisons.wins, comparisons.defeats, strict=True)
        return sum(wins if place[a] > place[b] else defeats for a, b, wins, defeats in sides)

    return max(agreed(order) for order in permutations(texts)) / decided


def test_the_ceiling_agrees_with_the_majority():
    comparisons = compared((0, 1, 2, 1, 1), (2, 3, 3, 0, 0))
    assert agreement_ceiling(comparisons).share == (2 + 3) / (2 + 1 + 3)


def test_ties_do_not_count():
    assert agreement_ceiling(compared((0, 1, 0, 5, 0))) is None
    assert agreement_ceiling(compared()) is None


def test_a_cycle_violates_its_weakest_preference():
    comparisons = compared((0, 1, 3, 0, 0), (1, 2, 3, 0, 0), (0, 2, 0, 0, 2))
    assert agreement_ceiling(comparisons).share == (3 + 3) / (3 + 3 + 2)
    assert agreement_ceiling(comparisons).is_exact


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2)),
        min_size=10,
        max_size=10,
    ).filter(lambda counts: any(win + defeat for win, _, defeat in counts))
)
def test_no_order_of_five_texts_does_better(counts):
    pairs = [(a, b) for a in range(5) for b in range(a + 1, 5)]
    comparisons = compared(*((*pair, *count) for pair, count in zip(pairs, counts, strict=True)))
    assert agreement_ceiling(comparisons).share == pytest.approx(best_order(comparisons))


def test_a_cycle_that_is_too_large_gives_an_upper_bound():
    size = MAX_EXACT_TEXTS + 1
    comparisons = compared(*((i, (i + 1) % size, 1, 0, 0) for i in range(size)))
    assert agreement_ceiling(comparisons).share == 1.0
    assert not agreement_ceiling(comparisons).is_exact
