"""Annotator agreement is the unbiased estimate over pairs of annotations."""

import numpy as np
import pytest

from rlhf_losses.inspection.annotator_agreement import annotator_agreement
from rlhf_losses.inspection.comparisons import Comparisons


def compared(*counts):
    """Return comparisons from (first, second, wins, ties, defeats)."""
    return Comparisons(*np.array(counts, dtype=float).reshape(-1, 5).T)


def test_annotator_agreement_is_over_pairs_of_annotators():
    comparisons = compared((0, 1, 2, 0, 1), (2, 3, 0, 3, 0), (4, 5, 1, 0, 0))
    assert annotator_agreement(comparisons) == pytest.approx((1 / 3 + 1) / 2)  # one of three pairs agrees


def test_annotator_agreement_needs_two_annotations():
    assert annotator_agreement(compared((0, 1, 1, 0, 0))) is None


def test_annotator_agreement_is_unbiased():
    draws = np.random.default_rng(0).multinomial(3, [0.6, 0.1, 0.3], size=20_000)
    comparisons = Comparisons(np.arange(20_000), np.arange(20_000) + 20_000, *draws.T.astype(float))
    assert annotator_agreement(comparisons) == pytest.approx(0.6**2 + 0.1**2 + 0.3**2, abs=0.01)
