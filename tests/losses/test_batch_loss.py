"""Batch losses: their values are those of the formula, and splitting a batch does not change them."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rlhf_losses.feedback import Lengths, Pairs, Rankings
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
    loss, expected = batch_sum_to_zero(scores, pairs()), scores.mean() ** 2
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, scores)[0] for value in (loss, expected)))


@given(st.integers(0, 1_000))
def test_length_decorrelation_is_the_squared_correlation_of_scipy(seed):
    scores, lengths = drawn(seed)
    loss = LengthDecorrelation(floor=1e-6)(scores, lengths)
    rho = stats.pearsonr(scores.detach(), lengths.lengths).statistic
    assert loss.item() == pytest.approx(rho**2, rel=1e-6, abs=1e-9)


def test_length_decorrelation_has_the_gradient_of_its_formula():
    scores, lengths = drawn(0)
    n = lengths.lengths.double()
    covariance = ((scores - scores.mean()) * (n - n.mean())).mean()
    expected = covariance**2 / ((scores.var(correction=0) + 0.01**2) * n.var(correction=0))
    loss = length_decorrelation(scores, lengths)
    torch.testing.assert_close(*(torch.autograd.grad(value, scores)[0] for value in (loss, expected)))


@given(st.integers(0, 1_000), st.lists(st.integers(1, COUNT - 1), unique=True, max_size=4))
def test_parts_at_the_means_of_the_step_add_up_to_the_whole(seed, cuts):
    scores, lengths = drawn(seed)
    whole = length_decorrelation(scores, lengths)
    (expected,) = torch.autograd.grad(whole, scores)
    means = length_decorrelation.moments(scores, lengths).mean(dim=0)
    bounds = [0, *sorted(cuts), COUNT]
    parts = [
        length_decorrelation.per_item_loss_at(
            scores[a:b], Lengths(torch.arange(b - a), lengths.lengths[a:b]), means.detach()
        ).sum()
        for a, b in pairwise(bounds)
    ]
    together = torch.stack(parts).sum() / COUNT
    torch.testing.assert_close(together, whole)
    torch.testing.assert_close(torch.autograd.grad(together, scores)[0], expected)


def test_the_mean_of_the_losses_of_parts_differs_from_the_whole():
    scores, _ = drawn(0)
    halves = [batch_sum_to_zero(half, pairs(3)) for half in scores.split(6)]
    assert not torch.isclose(torch.stack(halves).mean(), batch_sum_to_zero(scores, pairs()), rtol=1e-2)


def test_equal_lengths_have_loss_0_and_gradient_0():
    scores = torch.tensor([1.0, -2.0, 5.0], requires_grad=True)
    loss = length_decorrelation(scores, Lengths([0, 1, 2], [17, 17, 17]))
    (gradient,) = torch.autograd.grad(loss, scores)
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert gradient.abs().max() < 1e-6


def test_the_values_at_given_means_are_the_tangent_of_the_formula():
    scores, means = torch.tensor([3.0, 1.0], requires_grad=True), torch.tensor([0.5], dtype=torch.float64)
    values = batch_sum_to_zero.per_item_loss_at(scores, pairs(1), means)
    assert values.tolist() == [0.5**2 + 2 * 0.5 * (3.0 - 0.5), 0.5**2 + 2 * 0.5 * (1.0 - 0.5)]
    assert torch.autograd.grad(values.sum(), scores)[0].tolist() == [2 * 0.5, 2 * 0.5]


def test_the_values_at_the_own_means_are_the_per_item_loss():
    scores, lengths = drawn(3)
    means = length_decorrelation.moments_of(scores, lengths).mean(dim=0)
    values = length_decorrelation.per_item_loss_at(scores, lengths, means)
    torch.testing.assert_close(values, length_decorrelation.per_item_loss(scores, lengths))


@pytest.mark.parametrize(("dtype", "expected"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_values_at_given_means_are_in_float32_or_float64(dtype, expected):
    rankings = Rankings(candidates=[0, 1], ranks=[1, 2], sizes=[2])
    means = torch.zeros(1, dtype=torch.float64)
    assert batch_sum_to_zero.per_item_loss_at(torch.ones(2, dtype=dtype), rankings, means).dtype == expected


def test_no_items_have_an_empty_vector_at_given_means():
    empty = torch.empty(0, requires_grad=True)
    values = batch_sum_to_zero.per_item_loss_at(empty, pairs(0), torch.zeros(1, dtype=torch.float64))
    assert values.shape == (0,)
    assert values.requires_grad
