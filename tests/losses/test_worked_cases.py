"""Worked examples from the literature on reward models."""

import pytest
import torch

from rlhf_losses.feedback import Labels, Pairs, Rankings, Steps
from rlhf_losses.losses import (
    Hinge,
    Loss,
    LossProperty,
    accumulated_pairs,
    bradley_terry,
    centering,
    plackett_luce,
    pointwise_hinge,
    segment_hinge,
    segment_rating,
)

ONE_PAIR = Pairs(chosen=[0], rejected=[1])
PAIRWISE: list[Loss[Pairs]] = [bradley_terry, Hinge(), Hinge(margin=2.0)]


def test_a_good_answer_with_score_0_3_has_hinge_loss_0_7():
    value = pointwise_hinge(torch.tensor([0.3]), Labels(candidates=[0], labels=[+1]))
    assert float(value) == pytest.approx(1 - 0.3)
    assert value == segment_hinge(torch.tensor([0.3]), Steps(steps=[0], values=[+1]))


@pytest.mark.parametrize("score", [1.0, 1.5, 100.0])
def test_a_good_answer_with_a_score_of_at_least_1_has_hinge_loss_0(score):
    assert pointwise_hinge(torch.tensor([score]), Labels(candidates=[0], labels=[+1])) == 0
    assert segment_hinge(torch.tensor([score]), Steps(steps=[0], values=[+1])) == 0


def test_the_segment_with_the_largest_error_has_the_largest_loss():
    targets, scores = [0.9, 0.1, -0.6], torch.tensor([0.8, 0.5, -0.7])
    values = segment_rating.per_item_loss(scores, Steps(steps=[0, 1, 2], values=targets))
    assert values.tolist() == pytest.approx([(0.8 - 0.9) ** 2, (0.5 - 0.1) ** 2, (-0.7 + 0.6) ** 2])
    assert values.argmax() == 1


@pytest.mark.parametrize("loss", PAIRWISE, ids=str)
def test_one_step_increases_the_chosen_score_and_decreases_the_rejected_score(loss):
    scores = torch.tensor([2.0, 3.0], requires_grad=True)
    optimizer = torch.optim.SGD([scores], lr=0.1)
    loss(scores, ONE_PAIR).backward()
    optimizer.step()
    chosen, rejected = scores.tolist()
    assert chosen > 2.0
    assert rejected < 3.0


@pytest.mark.parametrize("constant", [-7.5, 0.25, 1000.0])
def test_adding_a_constant_does_not_change_preference_probabilities(constant):
    scores = torch.tensor([1.25, -0.5], dtype=torch.float64)
    probability = (-bradley_terry(scores, ONE_PAIR)).exp()
    assert float((-bradley_terry(scores + constant, ONE_PAIR)).exp()) == pytest.approx(float(probability))
    assert float(probability) == pytest.approx(float(torch.sigmoid(scores[0] - scores[1])))


@pytest.mark.parametrize("constant", [-7.5, 0.25, 1000.0])
@pytest.mark.parametrize("loss", [*PAIRWISE, plackett_luce, accumulated_pairs], ids=str)
def test_adding_a_constant_does_not_change_comparison_losses(loss, constant):
    scores = torch.tensor([1.25, -0.5, 0.75], dtype=torch.float64)
    ranking = Rankings(candidates=[0, 1, 2], ranks=[2, 3, 1], sizes=[3])
    assert float(loss(scores + constant, ranking)) == pytest.approx(float(loss(scores, ranking)))


def test_adding_a_constant_changes_centering():
    scores = torch.tensor([1.0, -0.5])
    assert float(centering(scores, ONE_PAIR)) == (1.0 - 0.5) ** 2
    assert float(centering(scores + 3.0, ONE_PAIR)) == (1.0 - 0.5 + 2 * 3.0) ** 2
    assert LossProperty.SHIFT_INVARIANT not in centering.properties


def test_pairs_of_positive_and_of_negative_scores_are_ranked_correctly():
    scores = torch.tensor([3.2, 1.5, -0.5, -2.0])
    pairs = Pairs(chosen=[0, 2], rejected=[1, 3])
    assert (pairs.score_difference(scores) > 0).all()
    probabilities = (-bradley_terry.per_item_loss(scores, pairs)).exp()
    assert probabilities.tolist() == pytest.approx(torch.sigmoid(torch.tensor([3.2 - 1.5, -0.5 + 2.0])).tolist())
    assert (probabilities > 0.5).all()
