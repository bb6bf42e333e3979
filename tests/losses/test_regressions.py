"""Numerical defects of other implementations: each test shows the defect, and that it is absent here."""

from math import exp, log

import jaxtyping
import pytest
import torch
from torch.nn.functional import logsigmoid, softplus

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Pairs, Rankings, Ratings, Steps
from rlhf_losses.losses import LogBarrier, Pqm, bradley_terry, davidson, pqm, rao_kupper, thurstone
from rlhf_losses.losses.base import require_vector

ONE_PAIR = Pairs(chosen=[0], rejected=[1])
TWO_PAIRS = Pairs(chosen=[0, 1], rejected=[2, 3])


def value_and_gradient(function, *scores):
    """Return the value and the gradient of a function of scores."""
    leaf = torch.tensor(scores, requires_grad=True)
    value = function(leaf)
    return value.item(), torch.autograd.grad(value, leaf)[0].tolist()


@pytest.mark.parametrize("score_difference", [-89.0, -100.0, -1e4])
def test_log_of_one_plus_exp_overflows_and_logsigmoid_does_not(score_difference):
    naive, _ = value_and_gradient(lambda s: torch.log(1 + torch.exp(-(s[0] - s[1]))), score_difference, 0.0)
    assert naive == float("inf")
    value, gradient = value_and_gradient(lambda s: bradley_terry(s, ONE_PAIR), score_difference, 0.0)
    assert value == pytest.approx(-score_difference)
    assert gradient == pytest.approx([-1.0, 1.0])


@pytest.mark.parametrize("score_difference", [6.0, 9.0, 20.0])
def test_log_of_one_plus_exp_is_0_in_bfloat16_and_not_in_float32(score_difference):
    scores = torch.tensor([score_difference, 0.0], dtype=torch.bfloat16)
    assert torch.log(1 + torch.exp(-(scores[0] - scores[1]))) == 0
    assert float(bradley_terry(scores, ONE_PAIR)) == pytest.approx(log(1 + exp(-score_difference)))


def test_log_of_sigmoid_is_infinite_and_logsigmoid_is_not():
    naive, broken = value_and_gradient(lambda s: -torch.log(torch.sigmoid(s[0] - s[1])), -110.0, 0.0)
    assert naive == float("inf")
    assert broken[0] != broken[0]
    assert value_and_gradient(lambda s: bradley_terry(s, ONE_PAIR), -110.0, 0.0) == (110.0, [-1.0, 1.0])


def test_an_epsilon_in_the_logarithm_removes_the_gradient_of_the_worst_pairs():
    _, weak = value_and_gradient(lambda s: -torch.log(torch.sigmoid(s[0] - s[1]) + 1e-5), -20.0, 0.0)
    assert abs(weak[0]) < 1e-3
    assert value_and_gradient(lambda s: bradley_terry(s, ONE_PAIR), -20.0, 0.0)[1] == pytest.approx([-1.0, 1.0])


@pytest.mark.parametrize("score", [5.5, -7.0, 1e4])
def test_a_clamped_barrier_has_no_gradient_outside_and_log_barrier_has_one(score):
    def clamped(s):
        inside = s.clamp(-5 + 1e-3, 5 - 1e-3)
        return -torch.log(5 - inside).sum() - torch.log(inside + 5).sum()

    assert value_and_gradient(clamped, score)[1] == [0.0]
    value, (gradient,) = value_and_gradient(lambda s: LogBarrier(limit=5.0).per_score(s).sum(), score)
    assert gradient * score > 0
    assert abs(gradient) >= value_and_gradient(lambda s: LogBarrier(limit=5.0).per_score(s).sum(), 4.9)[1][0]
    assert 0 < value < float("inf")


def test_a_barrier_without_normalization_is_negative_at_0_and_log_barrier_is_0():
    zero = torch.zeros(1)
    assert (-torch.log(5 - zero) - torch.log(zero + 5)).item() < 0
    assert LogBarrier().per_score(zero).item() == 0


def test_a_column_of_scores_is_refused_instead_of_broadcast():
    differences, margins = torch.tensor([[1.0], [-1.0]]), torch.tensor([0.0, 2.0])
    assert (differences - margins).shape == (2, 2)
    correct = float(-logsigmoid(differences[:, 0] - margins).mean())
    assert float(-logsigmoid(differences - margins).mean()) != pytest.approx(correct)
    with pytest.raises(InvalidFeedbackError, match=r"shape \(4, 1\).*vector.*scores\.reshape"):
        require_vector(torch.zeros(4, 1))
    with pytest.raises((InvalidFeedbackError, jaxtyping.TypeCheckError)):
        bradley_terry(torch.zeros(4, 1), TWO_PAIRS)


@pytest.mark.parametrize("margin", [[[0.0], [2.0]], 1.0])
def test_a_column_of_margins_is_refused_by_name(margin):
    with pytest.raises(InvalidFeedbackError, match=r"margin of shape .* vector.*margin\.reshape\(-1\)"):
        Pairs(chosen=[0, 1], rejected=[2, 3], margin=margin)


def test_score_differences_summed_before_the_sigmoid_hide_the_losses_of_pairs():
    scores = torch.tensor([2.0, 0.0, 0.0, 2.0])
    score_difference = TWO_PAIRS.score_difference(scores)
    assert float(-logsigmoid(score_difference.sum())) == pytest.approx(log(2))
    assert float(bradley_terry(scores, TWO_PAIRS)) == pytest.approx((log(1 + exp(-2)) + log(1 + exp(2))) / 2)


def test_scores_near_twenty_tie_in_bfloat16_and_not_in_float32():
    generator = torch.Generator().manual_seed(0)
    better, worse = 20 + torch.randn(2, 5_000, generator=generator)
    coarse = (better.bfloat16() - worse.bfloat16()) == 0
    assert 0.03 < coarse.float().mean() < 0.06
    assert not ((better - worse) == 0).any()
    pairs = Pairs(chosen=range(5_000), rejected=range(5_000, 10_000))
    values = bradley_terry.per_item_loss(torch.cat([better, worse]), pairs)
    assert not (values[coarse] == values.new_tensor(log(2))).all()


def test_exponentials_of_step_scores_overflow_and_pqm_does_not():
    scores = torch.tensor([100.0, 95.0])
    steps = Steps(steps=[0, 1], values=[1.0, 0.0])
    total = torch.exp(scores[0]) + torch.exp(scores[1] + 4)
    assert total == float("inf")
    # The wrong step with its margin has the score 99, which is 1 less than that of the correct step.
    assert float(pqm(scores, steps)) == pytest.approx((99 + log(1 + exp(-1))) / 2)
    assert float(Pqm()(-scores, steps)) == pytest.approx((log(1 + exp(-91)) + 100 + log(1 + exp(-91))) / 2)


def test_the_logarithm_of_the_normal_cdf_is_infinite_in_the_tail_and_thurstone_is_not():
    score_difference = torch.tensor([-30.0])
    assert torch.log(torch.special.ndtr(score_difference / 2**0.5)).item() == -float("inf")
    value, gradient = value_and_gradient(lambda s: thurstone(s, ONE_PAIR), -30.0, 0.0)
    # The first terms of the asymptotic expansion at x = 30 / sqrt(2).
    x = 30 / 2**0.5
    assert value == pytest.approx(x**2 / 2 + log(x * (2 * torch.pi) ** 0.5) - log(1 - 1 / x**2 + 3 / x**4), rel=1e-6)
    assert gradient[0] == pytest.approx(-(x + 1 / x) / 2**0.5, rel=1e-4)


@pytest.mark.parametrize("score_difference", [-40.0, 40.0])
def test_the_difference_of_two_sigmoids_is_0_in_the_tails_and_tie_losses_are_finite(score_difference):
    apart = torch.tensor(score_difference)
    tie = Pairs(chosen=[0], rejected=[1], tie=[1.0])
    assert torch.log(torch.sigmoid(apart.abs() + 1) - torch.sigmoid(apart.abs() - 1)) == -float("inf")
    value, gradient = value_and_gradient(lambda s: rao_kupper(s, tie), score_difference, 0.0)
    assert value == pytest.approx(float(softplus(1 - apart) + softplus(1 + apart)) - log(exp(2) - 1), rel=1e-6)
    assert gradient[0] == pytest.approx(1.0 if score_difference > 0 else -1.0)
    assert value_and_gradient(lambda s: davidson(s, tie), score_difference, 0.0)[0] == pytest.approx(20.0)


def test_a_matrix_of_ratings_or_ranks_is_refused():
    with pytest.raises(InvalidFeedbackError, match=r"ratings of shape \(2, 1\).*vector"):
        Ratings(candidates=[0, 1], ratings=[[1.0], [2.0]], sizes=[2])
    with pytest.raises(InvalidFeedbackError, match=r"ranks of shape \(1, 2\).*vector.*ranks\.reshape"):
        Rankings(candidates=[0, 1], ranks=[[1, 2]], sizes=[2])
    with pytest.raises(InvalidFeedbackError, match=r"ratings of shape \(2, 2\).*vector.*one value per item"):
        Ratings(candidates=[0, 1], ratings=[[1.0, 3.0], [2.0, 4.0]], sizes=[2])
    with pytest.raises(InvalidFeedbackError, match=r"shape \(4, 2\).*vector.*one score per text"):
        require_vector(torch.zeros(4, 2))
