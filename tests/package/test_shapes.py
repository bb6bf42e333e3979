"""The tests run with shapes and types checked: without that, annotations could lie."""

import jaxtyping
import pytest
import torch

from rlhf_losses.feedback import Pairs, Steps
from rlhf_losses.losses import SegmentRating, bradley_terry


def test_a_matrix_is_no_vector_of_leads():
    with pytest.raises(jaxtyping.TypeCheckError, match="lead"):
        bradley_terry.per_pair(torch.zeros(2, 2))


def test_positions_are_no_scores():
    with pytest.raises(jaxtyping.TypeCheckError, match="scores"):
        Pairs(chosen=[0], rejected=[1]).score_difference(torch.tensor([1, 2]))


def test_one_dimension_has_one_length():
    with pytest.raises(jaxtyping.TypeCheckError, match="values"):
        SegmentRating().per_step(torch.zeros(2), torch.zeros(3))


def test_what_fits_passes():
    assert len(SegmentRating().forward(torch.zeros(2), Steps(steps=[0, 1], values=[1.0, 0.5]))) == 2
