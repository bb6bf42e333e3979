"""KL estimators, the adaptive coefficient, and early stopping."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from rlhf_losses.ppo.kl import ESTIMATORS, EarlyStopping, KLController, k1, k2, k3, log_ratio_to_reference

log_ratios = st.floats(-8, 8, width=32)


@given(log_ratios)
def test_estimators_equal_their_formulas(log_ratio):
    ratio = math.exp(-log_ratio)  # of the reference to the policy
    row = tensor([[log_ratio]], dtype=torch.float64)
    assert k1(row).item() == log_ratio
    assert k2(row).item() == pytest.approx(log_ratio**2 / 2)
    assert k3(row).item() == pytest.approx(ratio - 1 - math.log(ratio), rel=1e-6, abs=1e-12)


@given(st.integers(0, 2**16))
def test_expectation_of_k1_and_k3_is_the_divergence(seed):
    generator = torch.Generator().manual_seed(seed)
    policy, reference = torch.randn(2, 5, generator=generator, dtype=torch.float64).log_softmax(-1)
    divergence = torch.nn.functional.kl_div(reference, policy, log_target=True, reduction="sum")
    each = (policy - reference).unsqueeze(0)
    for estimator in (k1, k3):
        assert_close((policy.exp() * estimator(each)).sum(), divergence)


@given(log_ratios)
def test_k2_and_k3_are_not_negative_and_all_vanish_for_equal_policies(log_ratio):
    row = tensor([[log_ratio]])
    assert k2(row) >= 0
    assert k3(row) >= 0
    assert all(estimator(torch.zeros(1, 1)) == 0 for estimator in ESTIMATORS.values())


def test_log_ratios_at_padding_are_zero():
    ours, theirs = tensor([[-1.0, math.nan]]), tensor([[-1.5, -math.inf]])
    assert_close(log_ratio_to_reference(ours, theirs, tensor([[1, 0]])), tensor([[0.5, 0.0]]))


def test_log_ratios_are_float32():
    halves = tensor([[-1.0]], dtype=torch.bfloat16)
    assert log_ratio_to_reference(halves, halves, tensor([[1]])).dtype == torch.float32


def test_fixed_coefficient_does_not_change():
    assert KLController().update(0.05, kl=100.0, completions=512) == 0.05


@given(st.floats(0, 50), st.integers(1, 512))
def test_adaptive_coefficient_changes_by_the_clipped_relative_error(kl, completions):
    coefficient = KLController(target=6.0, horizon=10_000).update(0.1, kl, completions)
    error = min(max((kl - 6.0) / 6.0, -0.2), 0.2)
    assert coefficient == pytest.approx(0.1 * (1 + error * completions / 10_000))


def test_early_stopping_compares_the_mean_of_each_step_with_the_limit():
    discarded = []
    stopping = EarlyStopping(0.1, lambda: discarded.append(True))
    for approx_kls, expected in (([0.05, 0.14], 0), ([0.05, 0.16], 1), ([], 1), ([0.09], 1)):
        for value in approx_kls:
            stopping.update(value)
        stopping.on_step_end()
        assert len(discarded) == expected
