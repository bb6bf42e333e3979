"""`standardize`: mean 0 and standard deviation 1 on reference samples."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Mixed
from rlhf_losses.testing import check_transform
from rlhf_losses.transforms import Evidence, ScoredTexts, Standardize, standardize


def scored(*scores: float) -> ScoredTexts:
    values = torch.tensor(scores, dtype=torch.float64)
    return ScoredTexts(values, torch.empty(len(values), 0), torch.ones(len(values)))


def samples(*scores: float) -> Evidence:
    return scored(*scores).with_feedback(Mixed(()))


def test_standardize_keeps_the_contract():
    check_transform(Standardize())


@given(st.lists(st.floats(-1000, 1000), min_size=2, max_size=20).filter(lambda found: max(found) - min(found) > 0.01))
def test_reference_samples_have_mean_0_and_standard_deviation_1(scores):
    found = standardize.apply(scored(*scores), standardize.fit([samples(*scores)]))
    assert found.mean().item() == pytest.approx(0, abs=1e-6)
    assert found.std(correction=0).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("scores", [(), (1.5,), (1.5, 1.5, 1.5)])
def test_samples_without_a_standard_deviation_are_refused(scores):
    with pytest.raises(InvalidFeedbackError) as caught:
        standardize.fit([samples(*scores)])
    assert f"received {len(scores)} reference sample" in str(caught.value)
    assert "at least two with different scores" in str(caught.value)
    assert "Give a few hundred different samples" in str(caught.value)
