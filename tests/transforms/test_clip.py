"""`clip`: scores within symmetric limits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.errors import InvalidLossError
from rlhf_losses.testing import check_transform
from rlhf_losses.transforms import Clip, ScoredTexts


@pytest.mark.parametrize("limit", [0.5, 5.0, 100.0])
def test_clip_keeps_the_contract(limit):
    check_transform(Clip(limit=limit))


@given(st.floats(-1000, 1000), st.floats(0.01, 100))
def test_scores_are_the_nearest_numbers_within_the_limits(score, limit):
    texts = ScoredTexts(torch.tensor([score], dtype=torch.float64), torch.empty(1, 0), torch.ones(1))
    assert Clip(limit=limit).apply(texts, {}).item() == max(-limit, min(limit, score))


@pytest.mark.parametrize("limit", [0.0, -1.0, float("inf"), "5"])
def test_limits_that_are_not_positive_numbers_are_refused(limit):
    with pytest.raises(InvalidLossError, match="limit"):
        Clip(limit=limit)
