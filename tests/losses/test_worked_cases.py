"""The worked cases of the field, each by name."""

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
PAIRWISE: list[Loss] = [bradley_terry, Hinge(), Hinge(margin=2.0)]


def test_a_good_answer_at_score_0_3_costs_0_7_under_the_hinge_with_margin_1():
    cost = pointwise_hinge(torch.tensor([0.3]), Labels(candidates=[0], labels=[+1]))
    assert float(cost) == pytest.approx(1 - 0.3)
    assert cost == segment_hinge(torch.tensor([0.3]), Steps(steps=[0], values=[+1]))


@pytest.mark.parametrize("score", [1.0, 1.5, 100.0])
def test_a_good_answer_costs_nothing_from_score_1_under_the_hinge_with_margin_1(score):
    assert pointwise_hinge(torch.tensor([score]), Labels(candidates=[0], labels=[+1])) == 0
    assert segment_hinge(torch.tensor([score]), Steps(steps=[0], values=[+1])) == 0


def test_of_three_rated_segments_the_one_furthest_from_its_rating_costs_most():
    targets, scores = [0.9, 0.1, -0.6], torch.tensor([0.8, 0.5, -0.7])
    costs = segment_rating.per_item_loss(scores, Steps(steps=[0, 1, 2], values=targets))
    assert costs.tolist() == pytest.approx([(0.8 - 0.9) ** 2, (0.5 - 0.1) ** 2, (-0.7 + 0.6) ** 2])
    assert costs.argmax() == 1


@pytest.mark.parametrize("loss", PAIRWISE, ids=str)
def test_one_step_raises_the_preferred_answer_at_2_and_lowers_the_rejected_one_at_3(loss):
    scores = torch.tensor([2.0, 3.0], requires_grad=True)
    optimizer = torch.optim.SGD([scores], lr=0.1)
    loss(scores, ONE_PAIR).backward()
    optimizer.step()
    preferred, rejected = scores.tolist()
    assert preferred > 2.0
    assert rejected < 3.0


@pytest.mark.parametrize("constant", [-7.5, 0.25, 1000.0])
def test_a_constant_changes_no_preference_probability(constant):
    scores = torch.tensor([1.25, -0.5], dtype=torch.float64)
    probability = (-bradley_terry(scores, ONE_PAIR)).exp()
    assert float((-bradley_terry(scores + constant, ONE_PAIR)).exp()) == pytest.approx(float(probability))
    assert float(probability) == pytest.approx(float(torch.sigmoid(scores[0] - scores[1])))


@pytest.mark.parametrize("constant", [-7.5, 0.25, 1000.0])
@pytest.mark.parametrize("loss", [*PAIRWISE, plackett_luce, accumulated_pairs], ids=str)
def test_a_constant_changes_no_pairwise_and_no_plackett_luce_loss(loss, constant):
    scores = torch.tensor([1.25, -0.5, 0.75], dtype=torch.float64)
    ranking = Rankings(candidates=[0, 1, 2], ranks=[2, 3, 1], sizes=[3])
    assert float(loss(scores + constant, ranking)) == pytest.approx(float(loss(scores, ranking)))


def test_a_constant_changes_centering():
    scores = torch.tensor([1.0, -0.5])
    assert float(centering(scores, ONE_PAIR)) == (1.0 - 0.5) ** 2
    assert float(centering(scores + 3.0, ONE_PAIR)) == (1.0 - 0.5 + 2 * 3.0) ** 2
    assert LossProperty.SHIFT_INVARIANT not in centering.properties


def test_both_a_pair_of_positive_and_a_pair_of_negative_scores_are_ranked_right():
    scores = torch.tensor([3.2, 1.5, -0.5, -2.0])
    pairs = Pairs(chosen=[0, 2], rejected=[1, 3])
    assert (pairs.score_difference(scores) > 0).all()
    probabilities = (-bradley_terry.per_item_loss(scores, pairs)).exp()
    assert probabilities.tolist() == pytest.approx(torch.sigmoid(torch.tensor([3.2 - 1.5, -0.5 + 2.0])).tolist())
    assert (probabilities > 0.5).all()
