"""What other implementations got wrong, each next to ours: the defect is shown first, then that it is not here."""

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


def slope(cost, *scores):
    """Return the value at a vector of scores, and the gradient there."""
    leaf = torch.tensor(scores, requires_grad=True)
    value = cost(leaf)
    return value.item(), torch.autograd.grad(value, leaf)[0].tolist()


@pytest.mark.parametrize("score_difference", [-89.0, -100.0, -1e4])
def test_log_of_one_plus_exp_overflows_and_ours_costs_the_lead(score_difference):
    naive, _ = slope(lambda s: torch.log(1 + torch.exp(-(s[0] - s[1]))), score_difference, 0.0)
    assert naive == float("inf")
    cost, gradient = slope(lambda s: bradley_terry(s, ONE_PAIR), score_difference, 0.0)
    assert cost == pytest.approx(-score_difference)
    assert gradient == pytest.approx([-1.0, 1.0])


@pytest.mark.parametrize("score_difference", [6.0, 9.0, 20.0])
def test_log_of_one_plus_exp_in_bfloat16_is_zero_and_ours_computes_in_float32(score_difference):
    scores = torch.tensor([score_difference, 0.0], dtype=torch.bfloat16)
    assert torch.log(1 + torch.exp(-(scores[0] - scores[1]))) == 0
    assert float(bradley_terry(scores, ONE_PAIR)) == pytest.approx(log(1 + exp(-score_difference)))


def test_log_of_sigmoid_is_infinite_without_a_gradient_and_ours_is_neither():
    naive, broken = slope(lambda s: -torch.log(torch.sigmoid(s[0] - s[1])), -110.0, 0.0)
    assert naive == float("inf")
    assert broken[0] != broken[0]
    assert slope(lambda s: bradley_terry(s, ONE_PAIR), -110.0, 0.0) == (110.0, [-1.0, 1.0])


def test_an_epsilon_in_the_logarithm_takes_the_gradient_of_the_worst_pairs_and_ours_keeps_it():
    _, weak = slope(lambda s: -torch.log(torch.sigmoid(s[0] - s[1]) + 1e-5), -20.0, 0.0)
    assert abs(weak[0]) < 1e-3
    assert slope(lambda s: bradley_terry(s, ONE_PAIR), -20.0, 0.0)[1] == pytest.approx([-1.0, 1.0])


@pytest.mark.parametrize("score", [5.5, -7.0, 1e4])
def test_a_clamped_barrier_is_dead_outside_and_ours_pulls_back(score):
    def clamped(s):
        inside = s.clamp(-5 + 1e-3, 5 - 1e-3)
        return -torch.log(5 - inside).sum() - torch.log(inside + 5).sum()

    assert slope(clamped, score)[1] == [0.0]
    cost, (gradient,) = slope(lambda s: LogBarrier(limit=5.0).per_score(s).sum(), score)
    assert gradient * score > 0
    assert abs(gradient) >= slope(lambda s: LogBarrier(limit=5.0).per_score(s).sum(), 4.9)[1][0]
    assert 0 < cost < float("inf")


def test_a_barrier_that_pays_for_scores_of_zero_is_not_ours():
    zero = torch.zeros(1)
    assert (-torch.log(5 - zero) - torch.log(zero + 5)).item() < 0
    assert LogBarrier().per_score(zero).item() == 0


def test_a_column_of_scores_less_a_vector_of_margins_is_a_square_and_ours_refuses_it():
    leads, margins = torch.tensor([[1.0], [-1.0]]), torch.tensor([0.0, 2.0])
    assert (leads - margins).shape == (2, 2)
    assert float(-logsigmoid(leads - margins).mean()) != pytest.approx(float(-logsigmoid(leads[:, 0] - margins).mean()))
    with pytest.raises(InvalidFeedbackError, match=r"Scores of the shape \(4, 1\) arrived.*scores.reshape"):
        require_vector(torch.zeros(4, 1))
    with pytest.raises((InvalidFeedbackError, jaxtyping.TypeCheckError)):
        bradley_terry(torch.zeros(4, 1), TWO_PAIRS)


@pytest.mark.parametrize("margin", [[[0.0], [2.0]], 1.0])
def test_a_column_of_margins_is_refused_by_name(margin):
    with pytest.raises(InvalidFeedbackError, match=r"Pairs got margin of the shape .* pass margin.reshape\(-1\)"):
        Pairs(chosen=[0, 1], rejected=[2, 3], margin=margin)


def test_scores_summed_over_a_batch_before_the_sigmoid_hide_what_two_pairs_cost():
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
    costs = bradley_terry.per_item_loss(torch.cat([better, worse]), pairs)
    assert not (costs[coarse] == costs.new_tensor(log(2))).all()


def test_exponentials_of_step_scores_overflow_and_ours_do_not():
    scores = torch.tensor([100.0, 95.0])
    steps = Steps(steps=[0, 1], values=[1.0, 0.0])
    total = torch.exp(scores[0]) + torch.exp(scores[1] + 4)
    assert total == float("inf")
    # The wrong step, with its margin, lies 99 above the start of the answer and 1 below the right step.
    assert float(pqm(scores, steps)) == pytest.approx((99 + log(1 + exp(-1))) / 2)
    assert float(Pqm()(-scores, steps)) == pytest.approx((log(1 + exp(-91)) + 100 + log(1 + exp(-91))) / 2)


def test_the_logarithm_of_a_normal_probability_is_endless_in_the_tail_and_ours_is_not():
    score_difference = torch.tensor([-30.0])
    assert torch.log(torch.special.ndtr(score_difference / 2**0.5)).item() == -float("inf")
    cost, gradient = slope(lambda s: thurstone(s, ONE_PAIR), -30.0, 0.0)
    # The first terms of the asymptotic expansion at x = 30 / sqrt(2).
    x = 30 / 2**0.5
    assert cost == pytest.approx(x**2 / 2 + log(x * (2 * torch.pi) ** 0.5) - log(1 - 1 / x**2 + 3 / x**4), rel=1e-6)
    assert gradient[0] == pytest.approx(-(x + 1 / x) / 2**0.5, rel=1e-4)


@pytest.mark.parametrize("score_difference", [-40.0, 40.0])
def test_the_difference_of_two_sigmoids_is_zero_in_the_tails_and_our_ties_keep_their_cost(score_difference):
    apart = torch.tensor(score_difference)
    tie = Pairs(chosen=[0], rejected=[1], tie=[1.0])
    assert torch.log(torch.sigmoid(apart.abs() + 1) - torch.sigmoid(apart.abs() - 1)) == -float("inf")
    cost, gradient = slope(lambda s: rao_kupper(s, tie), score_difference, 0.0)
    assert cost == pytest.approx(float(softplus(1 - apart) + softplus(1 + apart)) - log(exp(2) - 1), rel=1e-6)
    assert gradient[0] == pytest.approx(1.0 if score_difference > 0 else -1.0)
    assert slope(lambda s: davidson(s, tie), score_difference, 0.0)[0] == pytest.approx(20.0)


def test_ratings_of_one_answer_do_not_spread_over_the_batch():
    with pytest.raises(InvalidFeedbackError, match="Ratings got ratings of the shape"):
        Ratings(candidates=[0, 1], ratings=[[1.0], [2.0]], sizes=[2])
    with pytest.raises(InvalidFeedbackError, match="Rankings got ranks of the shape"):
        Rankings(candidates=[0, 1], ranks=[[1, 2]], sizes=[2])
