"""Losses of a whole batch: their values are those of the formula, and cutting the batch changes nothing."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rlhf_losses.feedback import Lengths, Pairs
from rlhf_losses.losses import LengthDecorrelation, batch_sum_to_zero, length_decorrelation

COUNT = 12


def drawn(seed: int) -> tuple[torch.Tensor, Lengths]:
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(COUNT, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, 200, (COUNT,), generator=generator)
    return scores.requires_grad_(), Lengths(torch.arange(COUNT), lengths)


def pairs(count: int = COUNT // 2) -> Pairs:
    return Pairs(torch.arange(count), torch.arange(count, 2 * count))


@given(st.integers(0, 1_000))
def test_batch_sum_to_zero_is_the_square_of_the_mean(seed):
    scores, _ = drawn(seed)
    ours, expected = batch_sum_to_zero(scores, pairs()), scores.mean() ** 2
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, scores)[0] for value in (ours, expected)))


@given(st.integers(0, 1_000))
def test_length_decorrelation_is_the_squared_correlation_of_scipy(seed):
    scores, lengths = drawn(seed)
    ours = LengthDecorrelation(floor=1e-6)(scores, lengths)
    rho = stats.pearsonr(scores.detach(), lengths.lengths).statistic
    assert ours.item() == pytest.approx(rho**2, rel=1e-6, abs=1e-9)


def test_length_decorrelation_has_the_gradient_of_its_formula():
    scores, lengths = drawn(0)
    n = lengths.lengths.double()
    covariance = ((scores - scores.mean()) * (n - n.mean())).mean()
    expected = covariance**2 / ((scores.var(correction=0) + 0.01**2) * n.var(correction=0))
    ours = length_decorrelation(scores, lengths)
    torch.testing.assert_close(*(torch.autograd.grad(value, scores)[0] for value in (ours, expected)))


@given(st.integers(0, 1_000), st.lists(st.integers(1, COUNT - 1), unique=True, max_size=4))
def test_a_batch_in_parts_costs_what_it_costs_whole(seed, cuts):
    scores, lengths = drawn(seed)
    whole = length_decorrelation(scores, lengths)
    (expected,) = torch.autograd.grad(whole, scores)
    means = length_decorrelation.moments(scores, lengths).mean(dim=0)
    bounds = [0, *sorted(cuts), COUNT]
    parts = [
        length_decorrelation.items(
            scores[a:b], Lengths(torch.arange(b - a), lengths.lengths[a:b]), means=means.detach()
        ).sum()
        for a, b in pairwise(bounds)
    ]
    together = torch.stack(parts).sum() / COUNT
    torch.testing.assert_close(together, whole)
    torch.testing.assert_close(torch.autograd.grad(together, scores)[0], expected)


def test_the_mean_of_the_parts_by_themselves_would_differ():
    scores, _ = drawn(0)
    halves = [batch_sum_to_zero(half, pairs(3)) for half in scores.split(6)]
    assert not torch.isclose(torch.stack(halves).mean(), batch_sum_to_zero(scores, pairs()), rtol=1e-2)


def test_answers_of_one_length_cost_nothing_and_pull_at_nothing():
    scores = torch.tensor([1.0, -2.0, 5.0], requires_grad=True)
    cost = length_decorrelation(scores, Lengths([0, 1, 2], [17, 17, 17]))
    (gradient,) = torch.autograd.grad(cost, scores)
    assert cost.item() == pytest.approx(0.0, abs=1e-12)
    assert gradient.abs().max() < 1e-6
