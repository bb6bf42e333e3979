"""The tests check shapes and types at run time, so that annotations are correct."""

import jaxtyping
import pytest
import torch

from rlhf_losses.feedback import Pairs, Steps
from rlhf_losses.losses import SegmentRating, bradley_terry


def test_a_matrix_instead_of_a_vector_is_refused():
    with pytest.raises(jaxtyping.TypeCheckError, match="score_difference"):
        bradley_terry.per_pair(torch.zeros(2, 2))


def test_integers_instead_of_scores_are_refused():
    with pytest.raises(jaxtyping.TypeCheckError, match="scores"):
        Pairs(chosen=[0], rejected=[1]).score_difference(torch.tensor([1, 2]))


def test_vectors_of_different_lengths_are_refused():
    with pytest.raises(jaxtyping.TypeCheckError, match="values"):
        SegmentRating().per_step(torch.zeros(2), torch.zeros(3))


def test_correct_shapes_are_accepted():
    steps = Steps(steps=[0, 1], values=[1.0, 0.5])
    assert len(SegmentRating().forward(torch.zeros(2), steps, {})) == 2
