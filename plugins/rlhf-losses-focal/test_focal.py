"""The focal loss satisfies the contract, has the values of its formula and is registered when it is installed."""

from importlib.metadata import version
from math import exp, log

import pytest
import torch
from rlhf_losses_focal import Focal

from rlhf_losses import InvalidLossError, Pairs, bradley_terry, loss_registry, parse_loss
from rlhf_losses.testing import check_loss

ONE_PAIR = Pairs(chosen=[0], rejected=[1])


@pytest.mark.parametrize("focus", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_satisfies_the_contract(focus):
    check_loss(Focal(focus=focus))


def test_the_losses_of_the_plugin_satisfy_the_contract(provided_loss):
    check_loss(provided_loss)


@pytest.mark.parametrize("score_difference", [-3.0, 0.0, 1.5])
def test_focal_is_bradley_terry_times_a_power_of_the_error_probability(score_difference):
    correct = 1 / (1 + exp(-score_difference))
    value = Focal(focus=3.0)(torch.tensor([score_difference, 0.0]), ONE_PAIR)
    assert float(value) == pytest.approx(-((1 - correct) ** 3) * log(correct), rel=1e-6)


def test_focal_with_focus_0_is_bradley_terry():
    scores = torch.tensor([1.0, 2.0])
    assert Focal(focus=0.0)(scores, ONE_PAIR) == bradley_terry(scores, ONE_PAIR)


@pytest.mark.parametrize("focus", ["-1", "1e999", "'much'"])
def test_an_invalid_focus_is_refused(focus):
    with pytest.raises(InvalidLossError):
        parse_loss(f"focal(focus={focus})")


def test_the_installed_plugin_registers_the_loss():
    entry = loss_registry().entries["focal"]
    assert (entry.cls, entry.plugin, entry.version) == (Focal, "focal", version("rlhf-losses-focal"))
    assert str(parse_loss("focal(focus=1.0) + 0.01 * centering")) == "focal(focus=1.0) + 0.01 * centering"
