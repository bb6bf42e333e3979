"""The ceiling is what the best order of the texts is_convertible_to, found here by trying every order."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.inspection.agreement_ceiling import LARGEST, agreement_of_two, ceiling
from rlhf_losses.inspection.comparisons import Comparisons


def compared(*counts):
    """Return comparisons from (first, second, wins, ties, defeats)."""
    return Comparisons(*np.array(counts, dtype=float).reshape(-1, 5).T)


def best_order(said):
    """Return the share of voices that the best of all orders agrees with."""
    texts = sorted({*said.first, *said.second})
    decided = (said.wins + said.defeats).sum()

    def agreed(order):
        place = {text: -i for i, text in enumerate(order)}
        return sum(
            win if place[a] > place[b] else defeat
            for a, b, win, defeat in zip(said.first, said.second, said.wins, said.defeats, strict=True)
        )

    return max(agreed(order) for order in permutations(texts)) / decided


def test_the_side_with_more_voices_is_taken():
    said = compared((0, 1, 2, 1, 1), (2, 3, 3, 0, 0))
    assert ceiling(said).share == (2 + 3) / (2 + 1 + 3)


def test_ties_are_no_voices():
    assert ceiling(compared((0, 1, 0, 5, 0))) is None
    assert ceiling(compared()) is None


def test_a_circle_loses_its_weakest_preference():
    said = compared((0, 1, 3, 0, 0), (1, 2, 3, 0, 0), (0, 2, 0, 0, 2))
    assert ceiling(said).share == (3 + 3) / (3 + 3 + 2)
    assert ceiling(said).exact


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2)),
        min_size=10,
        max_size=10,
    ).filter(lambda counts: any(win + defeat for win, _, defeat in counts))
)
def test_no_order_of_five_texts_does_better(counts):
    pairs = [(a, b) for a in range(5) for b in range(a + 1, 5)]
    said = compared(*((*pair, *count) for pair, count in zip(pairs, counts, strict=True)))
    assert ceiling(said).share == pytest.approx(best_order(said))


def test_a_circle_that_is_too_large_gives_a_bound_and_says_so():
    size = LARGEST + 1
    said = compared(*((i, (i + 1) % size, 1, 0, 0) for i in range(size)))
    assert ceiling(said).share == 1.0
    assert not ceiling(said).exact


def test_two_annotators_agree_as_often_as_their_pairs_do():
    said = compared((0, 1, 2, 0, 1), (2, 3, 0, 3, 0), (4, 5, 1, 0, 0))
    assert agreement_of_two(said) == pytest.approx((1 / 3 + 1) / 2)  # of three annotators one pair of three agrees


def test_one_annotation_says_nothing_about_agreement():
    assert np.isnan(agreement_of_two(compared((0, 1, 1, 0, 0))))


def test_the_agreement_of_two_is_unbiased():
    draws = np.random.default_rng(0).multinomial(3, [0.6, 0.1, 0.3], size=20_000)
    said = Comparisons(np.arange(20_000), np.arange(20_000) + 20_000, *draws.T.astype(float))
    assert agreement_of_two(said) == pytest.approx(0.6**2 + 0.1**2 + 0.3**2, abs=0.01)
