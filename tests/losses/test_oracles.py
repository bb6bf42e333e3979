"""Losses against code that others wrote: SciPy, choix and torch's own functions."""

from itertools import permutations
from math import exp

import choix
import pytest
import torch
from hypothesis import given
from scipy.special import comb, log_expit, log_softmax
from torch.nn import functional

from rlhf_losses.feedback import Labels, Pairs, Rankings, Ratings, Steps
from rlhf_losses.losses import (
    Hinge,
    PointwiseHinge,
    SegmentHinge,
    accumulated_pairs,
    bradley_terry,
    cross_entropy,
    plackett_luce,
    segment_rating,
    squared_error,
)
from rlhf_losses.testing.strategies import scores_with


def close(costs):
    return pytest.approx(costs, rel=1e-9, abs=1e-9)


def total(loss, scores, feedback):
    return float(loss.price(scores.double(), feedback).sum())


def best_first(scores, rankings):
    """Return the candidates of each list in the order of their ranks."""
    lists = zip(rankings.candidates.split(rankings.sizes.tolist()), rankings.lists(scores), strict=True)
    return [(candidates[ranks.argsort(stable=True)].tolist(), ranks.sort().values) for candidates, (_, ranks) in lists]


def untied(rankings):
    """Return rankings of the same lengths, with the candidates in the order in which they are written."""
    ranks = torch.cat([torch.arange(1, int(size) + 1) for size in rankings.sizes])
    return Rankings(rankings.candidates, ranks, rankings.sizes)


@given(scores_with(Pairs))
def test_bradley_terry_is_scipys_log_expit_weighed_as_documented(drawn):
    scores, pairs = drawn
    one, zero = torch.ones(len(pairs)), torch.zeros(len(pairs))
    margin = (zero if pairs.margin is None else pairs.margin).double().numpy()
    weight = (one if pairs.weight is None else pairs.weight).double().numpy()
    preference = (one if pairs.preference is None else pairs.preference).double().numpy()
    numbers = scores.double().numpy()
    lead = numbers[pairs.chosen.numpy()] - numbers[pairs.rejected.numpy()] - margin
    expected = -weight * (preference * log_expit(lead) + (1 - preference) * log_expit(-lead))
    # Feedback is kept in float32, and so is 1 - preference.
    assert bradley_terry.price(scores.double(), pairs).tolist() == pytest.approx(expected.tolist(), rel=1e-6)


@given(scores_with(Pairs))
def test_bradley_terry_is_choixs_likelihood_of_the_comparisons(drawn):
    scores, pairs = drawn
    plain = Pairs(pairs.chosen, pairs.rejected)
    games = list(zip(pairs.chosen.tolist(), pairs.rejected.tolist(), strict=True))
    expected = -choix.log_likelihood_pairwise(games, scores.double().numpy())
    assert total(bradley_terry, scores, plain) == close(expected)


@given(scores_with(Rankings))
def test_plackett_luce_is_choixs_likelihood_of_the_rankings(drawn):
    scores, rankings = drawn
    strict = untied(rankings)
    orders = [order for order, _ in best_first(scores, strict)]
    expected = -choix.log_likelihood_rankings(orders, scores.double().numpy())
    assert total(plackett_luce, scores, strict) == close(expected)


@given(scores_with(Rankings))
def test_plackett_luce_chooses_each_tied_answer_from_the_same_set(drawn):
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
def test_plackett_luce_is_a_series_of_scipys_softmaxes(drawn):
    scores, rankings = drawn
    strict = untied(rankings)
    numbers = scores.double().numpy()
    expected = [
        -sum(log_softmax(numbers[order[place:]])[0] for place in range(len(order)))
        for order, _ in best_first(scores, strict)
    ]
    assert plackett_luce.price(scores.double(), strict).tolist() == close(expected)


def test_the_plackett_luce_probabilities_of_all_orders_add_up_to_one():
    scores = torch.tensor([0.3, -1.2, 2.0, 0.4], dtype=torch.float64)
    orders = [Rankings(candidates=range(4), ranks=ranks, sizes=[4]) for ranks in permutations([1, 2, 3, 4])]
    assert sum(exp(-total(plackett_luce, scores, order)) for order in orders) == close(1.0)


@given(scores_with(Rankings))
def test_accumulated_pairs_is_choixs_likelihood_a_comparison(drawn):
    scores, rankings = drawn
    strict = untied(rankings)
    expected = []
    for order, _ in best_first(scores, strict):
        games = [(better, worse) for place, better in enumerate(order) for worse in order[place + 1 :]]
        assert len(games) == comb(len(order), 2)
        expected.append(-choix.log_likelihood_pairwise(games, scores.double().numpy()) / len(games))
    assert accumulated_pairs.price(scores.double(), strict).tolist() == close(expected)


@given(scores_with(Pairs))
def test_two_answers_make_plackett_luce_and_accumulated_pairs_bradley_terry(drawn):
    scores, pairs = drawn
    plain = Pairs(pairs.chosen, pairs.rejected)
    both = torch.stack([pairs.chosen, pairs.rejected], dim=1).flatten()
    lists = Rankings(both, torch.tensor([1, 2] * len(pairs)), torch.tensor([2] * len(pairs)))
    expected = close(bradley_terry.price(scores.double(), plain).tolist())
    assert plackett_luce.price(scores.double(), lists).tolist() == expected
    assert accumulated_pairs.price(scores.double(), lists).tolist() == expected


@given(scores_with(Pairs))
def test_hinge_is_torchs_margin_ranking_loss(drawn):
    scores, pairs = drawn
    expected = functional.margin_ranking_loss(
        scores[pairs.chosen], scores[pairs.rejected], torch.ones(len(pairs)), margin=1.5, reduction="none"
    )
    assert Hinge(margin=1.5).price(scores, Pairs(pairs.chosen, pairs.rejected)).tolist() == close(expected.tolist())


@given(scores_with(Labels))
def test_cross_entropy_is_torchs_with_logits(drawn):
    scores, labels = drawn
    expected = functional.binary_cross_entropy_with_logits(
        scores[labels.candidates].double(), labels.labels.double(), reduction="none"
    )
    assert cross_entropy.price(scores.double(), labels).tolist() == close(expected.tolist())


@given(scores_with(Labels))
def test_pointwise_hinge_is_torchs_hinge_embedding_loss_on_the_side_of_the_label(drawn):
    scores, labels = drawn
    sides = torch.where(labels.labels == 1, scores[labels.candidates], -scores[labels.candidates])
    expected = functional.hinge_embedding_loss(sides, -torch.ones_like(sides), margin=1.5, reduction="none")
    assert PointwiseHinge(margin=1.5).price(scores, labels).tolist() == close(expected.tolist())


@given(scores_with(Steps))
def test_segment_hinge_is_pointwise_hinge_on_every_step(drawn):
    scores, steps = drawn
    expected = PointwiseHinge().price(scores, Labels(steps.steps, steps.values))
    assert SegmentHinge().price(scores, steps).equal(expected)


@given(scores_with(Ratings))
def test_squared_error_is_torchs_mean_squared_error_before_the_mean(drawn):
    scores, ratings = drawn
    expected = functional.mse_loss(scores[ratings.candidates], ratings.ratings, reduction="none")
    assert squared_error.price(scores, ratings).tolist() == close(expected.tolist())


@given(scores_with(Steps))
def test_segment_rating_is_torchs_mean_squared_error_before_the_mean(drawn):
    scores, steps = drawn
    expected = functional.mse_loss(scores[steps.steps], steps.values, reduction="none")
    assert segment_rating.price(scores, steps).tolist() == close(expected.tolist())
