"""KL is estimated three ways, and its price can be adapted."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from rlhf_losses.ppo.kl import ESTIMATORS, KLController, k1, k2, k3, log_ratio_to_reference

log_ratios = st.floats(-8, 8, width=32)


@given(log_ratios)
def test_each_estimator_is_its_formula(log_ratio):
    ratio = math.exp(-log_ratio)  # of the reference to the policy
    row = tensor([[log_ratio]], dtype=torch.float64)
    assert k1(row).item() == log_ratio
    assert k2(row).item() == pytest.approx(log_ratio**2 / 2)
    assert k3(row).item() == pytest.approx(ratio - 1 - math.log(ratio), rel=1e-6, abs=1e-12)


@given(st.integers(0, 2**16))
def test_weighted_by_the_policy_k1_and_k3_are_the_divergence_itself(seed):
    generator = torch.Generator().manual_seed(seed)
    policy, reference = torch.randn(2, 5, generator=generator, dtype=torch.float64).log_softmax(-1)
    divergence = torch.nn.functional.kl_div(reference, policy, log_target=True, reduction="sum")
    each = (policy - reference).unsqueeze(0)
    for estimator in (k1, k3):
        assert_close((policy.exp() * estimator(each)).sum(), divergence)


@given(log_ratios)
def test_only_k1_may_be_negative_and_all_are_zero_for_the_same_policy(log_ratio):
    row = tensor([[log_ratio]])
    assert k2(row) >= 0
    assert k3(row) >= 0
    assert all(estimator(torch.zeros(1, 1)) == 0 for estimator in ESTIMATORS.values())


def test_log_ratios_are_zero_at_padding_whatever_stands_there():
    ours, theirs = tensor([[-1.0, math.nan]]), tensor([[-1.5, -math.inf]])
    assert_close(log_ratio_to_reference(ours, theirs, tensor([[1, 0]])), tensor([[0.5, 0.0]]))


def test_log_ratios_of_bfloat16_log_probabilities_are_float32():
    halves = tensor([[-1.0]], dtype=torch.bfloat16)
    assert log_ratio_to_reference(halves, halves, tensor([[1]])).dtype == torch.float32


def test_a_fixed_coefficient_stays():
    coefficient = KLController(0.05)
    coefficient.update(kl=100.0, completions=512)
    assert coefficient.value == 0.05


@given(st.floats(0, 50), st.integers(1, 512))
def test_an_adapted_coefficient_moves_by_the_clipped_relative_error(kl, completions):
    coefficient = KLController(0.1, target=6.0, horizon=10_000)
    coefficient.update(kl, completions)
    error = min(max((kl - 6.0) / 6.0, -0.2), 0.2)
    assert coefficient.value == pytest.approx(0.1 * (1 + error * completions / 10_000))
