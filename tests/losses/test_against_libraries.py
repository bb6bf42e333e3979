"""Losses equal reference implementations of SciPy, choix, torchmetrics and torch."""

from itertools import combinations, permutations
from math import exp

import choix
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import comb, log_expit, log_ndtr, log_softmax, logsumexp, softmax
from scipy.special import huber as scipys_huber
from torch.nn import functional
from torchmetrics.functional.retrieval import retrieval_normalized_dcg

from rlhf_losses.feedback import Labels, Pairs, Rankings, Ratings, Steps
from rlhf_losses.losses import (
    Hinge,
    Huber,
    LambdaNdcg,
    ListNet,
    PlackettLuce,
    PointwiseHinge,
    Pqm,
    SegmentHinge,
    Thurstone,
    accumulated_pairs,
    best_of_n,
    bradley_terry,
    cross_entropy,
    plackett_luce,
    segment_rating,
    squared_error,
)
from rlhf_losses.testing.strategies import scores_with


def close(values):
    return pytest.approx(values, rel=1e-9, abs=1e-9)


def total(loss, scores, feedback):
    return float(loss.per_item_loss(scores.double(), feedback).sum())


def best_first(scores, rankings):
    """Return the candidates of each list in the order of their ranks."""
    lists = zip(rankings.candidates.split(rankings.sizes.tolist()), rankings.lists(scores), strict=True)
    return [(candidates[ranks.argsort(stable=True)].tolist(), ranks.sort().values) for candidates, (_, ranks) in lists]


def untied(rankings):
    """Return rankings of the same lengths, with the candidates in the order in which they are written."""
    ranks = torch.cat([torch.arange(1, int(size) + 1) for size in rankings.sizes])
    return Rankings(rankings.candidates, ranks, rankings.sizes)


@given(scores_with(Pairs))
def test_bradley_terry_is_the_weighted_log_expit_of_scipy(drawn):
    scores, pairs = drawn
    one, zero = torch.ones(len(pairs)), torch.zeros(len(pairs))
    margin = (zero if pairs.margin is None else pairs.margin).double().numpy()
    weight = (one if pairs.weight is None else pairs.weight).double().numpy()
    preference = (one if pairs.preference is None else pairs.preference).double().numpy()
    numbers = scores.double().numpy()
    score_difference = numbers[pairs.chosen.numpy()] - numbers[pairs.rejected.numpy()] - margin
    expected = -weight * (preference * log_expit(score_difference) + (1 - preference) * log_expit(-score_difference))
    # Feedback is in float32, and so is 1 - preference.
    assert bradley_terry.per_item_loss(scores.double(), pairs).tolist() == pytest.approx(expected.tolist(), rel=1e-6)


@given(scores_with(Pairs))
def test_bradley_terry_is_the_pairwise_likelihood_of_choix(drawn):
    scores, pairs = drawn
    plain = Pairs(pairs.chosen, pairs.rejected)
    games = list(zip(pairs.chosen.tolist(), pairs.rejected.tolist(), strict=True))
    expected = -choix.log_likelihood_pairwise(games, scores.double().numpy())
    assert total(bradley_terry, scores, plain) == close(expected)


@given(scores_with(Rankings))
def test_plackett_luce_is_the_likelihood_of_rankings_of_choix(drawn):
    scores, rankings = drawn
    strict = untied(rankings)
    orders = [order for order, _ in best_first(scores, strict)]
    expected = -choix.log_likelihood_rankings(orders, scores.double().numpy())
    assert total(plackett_luce, scores, strict) == close(expected)


@given(scores_with(Rankings))
def test_plackett_luce_chooses_tied_answers_from_the_same_set(drawn):
    scores, rankings = drawn
    choices = []
    for order, ranks in best_first(scores, rankings):
        for place, winner in enumerate(order):
            rivals = [other for other, rank in zip(order, ranks, strict=True) if rank >= ranks[place]]
            if len(rivals) > 1:
                choices.append((winner, [other for other in rivals if other != winner]))
    expected = -choix.log_likelihood_top1(choices, scores.double().numpy())
    assert total(plackett_luce, scores, rankings) == close(expected)


@given(scores_with(Rankings))
def test_plackett_luce_is_a_sequence_of_softmaxes_of_scipy(drawn):
    scores, rankings = drawn
    strict = untied(rankings)
    numbers = scores.double().numpy()
    expected = [
        -sum(log_softmax(numbers[order[place:]])[0] for place in range(len(order)))
        for order, _ in best_first(scores, strict)
    ]
    assert plackett_luce.per_item_loss(scores.double(), strict).tolist() == close(expected)


def test_the_plackett_luce_probabilities_of_all_orders_add_up_to_1():
    scores = torch.tensor([0.3, -1.2, 2.0, 0.4], dtype=torch.float64)
    orders = [Rankings(candidates=range(4), ranks=ranks, sizes=[4]) for ranks in permutations([1, 2, 3, 4])]
    assert sum(exp(-total(plackett_luce, scores, order)) for order in orders) == close(1.0)


@given(scores_with(Rankings))
def test_accumulated_pairs_is_the_mean_pairwise_likelihood_of_choix(drawn):
    scores, rankings = drawn
    strict = untied(rankings)
    expected = []
    for order, _ in best_first(scores, strict):
        games = [(better, worse) for place, better in enumerate(order) for worse in order[place + 1 :]]
        assert len(games) == comb(len(order), 2)
        expected.append(-choix.log_likelihood_pairwise(games, scores.double().numpy()) / len(games))
    assert accumulated_pairs.per_item_loss(scores.double(), strict).tolist() == close(expected)


@given(scores_with(Pairs))
def test_listwise_losses_of_two_answers_are_bradley_terry(drawn):
    scores, pairs = drawn
    plain = Pairs(pairs.chosen, pairs.rejected)
    both = torch.stack([pairs.chosen, pairs.rejected], dim=1).flatten()
    lists = Rankings(both, torch.tensor([1, 2] * len(pairs)), torch.tensor([2] * len(pairs)))
    expected = close(bradley_terry.per_item_loss(scores.double(), plain).tolist())
    assert plackett_luce.per_item_loss(scores.double(), lists).tolist() == expected
    assert accumulated_pairs.per_item_loss(scores.double(), lists).tolist() == expected


@given(scores_with(Pairs))
def test_hinge_is_the_margin_ranking_loss_of_torch(drawn):
    scores, pairs = drawn
    expected = functional.margin_ranking_loss(
        scores[pairs.chosen], scores[pairs.rejected], torch.ones(len(pairs)), margin=1.5, reduction="none"
    )
    assert Hinge(margin=1.5).per_item_loss(scores, Pairs(pairs.chosen, pairs.rejected)).tolist() == close(
        expected.tolist()
    )


@given(scores_with(Labels))
def test_cross_entropy_is_binary_cross_entropy_with_logits_of_torch(drawn):
    scores, labels = drawn
    expected = functional.binary_cross_entropy_with_logits(
        scores[labels.candidates].double(), labels.labels.double(), reduction="none"
    )
    assert cross_entropy.per_item_loss(scores.double(), labels).tolist() == close(expected.tolist())


@given(scores_with(Labels))
def test_pointwise_hinge_is_the_hinge_embedding_loss_of_torch(drawn):
    scores, labels = drawn
    sides = torch.where(labels.labels == 1, scores[labels.candidates], -scores[labels.candidates])
    expected = functional.hinge_embedding_loss(sides, -torch.ones_like(sides), margin=1.5, reduction="none")
    assert PointwiseHinge(margin=1.5).per_item_loss(scores, labels).tolist() == close(expected.tolist())


@given(scores_with(Steps))
def test_segment_hinge_is_pointwise_hinge_of_each_step(drawn):
    scores, steps = drawn
    expected = PointwiseHinge().per_item_loss(scores, Labels(steps.steps, steps.values))
    assert SegmentHinge().per_item_loss(scores, steps).equal(expected)


@given(scores_with(Ratings))
def test_squared_error_is_mse_loss_of_torch_without_reduction(drawn):
    scores, ratings = drawn
    expected = functional.mse_loss(scores[ratings.candidates], ratings.ratings, reduction="none")
    assert squared_error.per_item_loss(scores, ratings).tolist() == close(expected.tolist())


@given(scores_with(Steps))
def test_segment_rating_is_mse_loss_of_torch_without_reduction(drawn):
    scores, steps = drawn
    expected = functional.mse_loss(scores[steps.steps], steps.values, reduction="none")
    assert segment_rating.per_item_loss(scores, steps).tolist() == close(expected.tolist())


@given(scores_with(Pairs), st.floats(0.25, 4))
def test_thurstone_is_log_ndtr_of_scipy(drawn, deviation):
    scores, pairs = drawn
    plain = Pairs(pairs.chosen, pairs.rejected)
    score_difference = plain.score_difference(scores.double()).numpy() / (np.sqrt(2) * deviation)
    expected = -log_ndtr(score_difference)
    assert Thurstone(deviation=deviation).per_item_loss(scores.double(), plain).tolist() == close(expected.tolist())


@given(scores_with(Ratings), st.floats(0.25, 4))
def test_huber_is_scipys(drawn, threshold):
    scores, ratings = drawn
    distance = scores.double()[ratings.candidates] - ratings.ratings.double()
    expected = scipys_huber(threshold, distance.numpy())
    assert Huber(threshold=threshold).per_item_loss(scores.double(), ratings).tolist() == close(expected.tolist())


@given(scores_with(Ratings), st.floats(0.25, 4))
def test_list_net_is_the_cross_entropy_of_softmaxes_of_scipy(drawn, temperature):
    scores, ratings = drawn
    lists = ratings.to_rankings()
    expected = [
        -(softmax(grades.double().numpy() / temperature) * log_softmax(values.numpy())).sum()
        for values, grades in lists.graded_lists(scores.double())
    ]
    assert ListNet(temperature=temperature).per_item_loss(scores.double(), lists).tolist() == close(expected)


@given(scores_with(Steps), st.floats(0, 8))
def test_pqm_is_logsumexp_of_scipy_step_by_step(drawn, margin):
    scores, steps = drawn
    expected = []
    # Scores of a larger size are lost to rounding in the logsumexp of SciPy.
    scores = scores.double().clamp(-1e4, 1e4)
    sizes = steps.sizes.tolist()
    for values, labels in zip(scores[steps.steps].split(sizes), steps.values.split(sizes), strict=True):
        right, wrong = values[labels > 0].tolist(), (values[labels <= 0] + margin).tolist()
        losses = [logsumexp([0.0, *wrong, *right[: i + 1]]) - right[i] for i in range(len(right))]
        losses += [logsumexp([0.0, *wrong])] if wrong else []
        expected.append(sum(losses) / len(losses))
    assert Pqm(margin=margin).per_item_loss(scores, steps).tolist() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), min_size=6, max_size=6), st.sampled_from([None, 1, 3]))
def test_lambda_ndcg_weighs_a_pair_by_the_change_of_ndcg_of_torchmetrics(order, grades, top):
    scores = torch.tensor(order, dtype=torch.float64)
    target = torch.tensor(grades)
    expected = 0.0
    for i, j in combinations(range(6), 2):
        swapped = scores.clone()
        swapped[[i, j]] = scores[[j, i]]
        change = retrieval_normalized_dcg(swapped, target, top_k=top) - retrieval_normalized_dcg(
            scores, target, top_k=top
        )
        score_difference = (scores[i] - scores[j]) * torch.sign(target[i] - target[j])
        expected += float(change.abs() * functional.softplus(-score_difference))
    ranked = Rankings(range(6), [1 + max(grades) - grade for grade in grades], [6], grades)
    value = LambdaNdcg(top=top, gain="linear")(scores, ranked).item()
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("top", [None, 2])
def test_exponential_gains_are_linear_gains_of_exponential_grades(top):
    scores = torch.tensor([0.5, -1.0, 2.0, 0.0])
    grades, gains = torch.tensor([3.0, 0.0, 1.0, 2.0]), torch.tensor([7.0, 0.0, 1.0, 3.0])
    values = [
        LambdaNdcg(top=top, gain=gain)(scores, Rankings(range(4), [1, 4, 3, 2], [4], some))
        for gain, some in (("exponential", grades), ("linear", gains))
    ]
    assert values[0] == pytest.approx(values[1])


def minimum(loss, feedback, count):
    """Return the scores at the minimum of a loss, with mean 0."""
    scores = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss(scores, feedback)
        value.backward()
        return value

    optimizer.step(closure)
    return (scores - scores.mean()).tolist()


def comparisons(count=6, games=600):
    """Return random games, winner first, in which each player wins and loses at least once."""
    choix_rng = np.random.default_rng(0)
    strength = choix_rng.normal(size=count)
    pairs = [choix_rng.choice(count, 2, replace=False) for _ in range(games)]
    return [(a, b) if choix_rng.random() < 1 / (1 + np.exp(strength[b] - strength[a])) else (b, a) for a, b in pairs]


def test_bradley_terry_has_the_optimum_of_choix():
    games = comparisons()
    found = minimum(bradley_terry, Pairs(*map(list, zip(*games, strict=True))), 6)
    expected = choix.opt_pairwise(6, games, tol=1e-12)
    assert found == pytest.approx((expected - expected.mean()).tolist(), abs=1e-4)


def test_bradley_terry_has_the_optimum_of_a_logistic_regression():
    games = comparisons()
    design = np.zeros((len(games), 6))
    for row, (winner, loser) in enumerate(games):
        design[row, winner], design[row, loser] = 1, -1
    fitted = minimize(
        lambda weights: -log_expit(design @ weights).mean(),
        np.zeros(6),
        jac=lambda weights: -design.T @ np.exp(log_expit(-design @ weights)) / len(games),
        tol=1e-12,
    )
    found = minimum(bradley_terry, Pairs(*map(list, zip(*games, strict=True))), 6)
    assert found == pytest.approx((fitted.x - fitted.x.mean()).tolist(), abs=1e-4)


def orders(count=6, lists=100):
    """Return random orders of four random players, best first."""
    rng = np.random.default_rng(1)
    strength = rng.normal(size=count)
    drawn = [rng.choice(count, 4, replace=False) for _ in range(lists)]
    return [one[np.argsort(-(strength[one] / 2 + rng.gumbel(size=4)))].tolist() for one in drawn]


def as_rankings(lists):
    return Rankings([one for order in lists for one in order], [1, 2, 3, 4] * len(lists), [4] * len(lists))


@pytest.mark.slow
def test_plackett_luce_has_the_optimum_of_choix():
    drawn = orders()
    expected = choix.opt_rankings(6, drawn, tol=1e-12)
    assert minimum(plackett_luce, as_rankings(drawn), 6) == pytest.approx(
        (expected - expected.mean()).tolist(), abs=1e-4
    )


@pytest.mark.parametrize("loss", [best_of_n, PlackettLuce(top=1)], ids=str)
def test_the_first_choice_has_the_optimum_of_choix(loss):
    drawn = orders()
    expected = choix.opt_top1(6, [(order[0], order[1:]) for order in drawn], tol=1e-12)
    assert minimum(loss, as_rankings(drawn), 6) == pytest.approx((expected - expected.mean()).tolist(), abs=1e-4)
