"""Which losses cost the same whatever people said."""

from dataclasses import dataclass

import pytest
import torch

from rlhf_losses.feedback import Pairs
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses import Loss, bradley_terry, centering, hinge, score_decay
from rlhf_losses.losses.indifference import is_regularizer

REGULARIZERS = {"centering", "score_decay", "log_barrier", "batch_sum_to_zero", "length_decorrelation"}


@pytest.mark.parametrize("name", sorted(REGULARIZERS))
def test_regularizers_only_regularize_alone_and_among_each_other(name):
    loss = loss_registry()[name]()
    assert is_regularizer(loss)
    assert is_regularizer(0.5 * loss + centering + score_decay)
    assert not is_regularizer(bradley_terry + loss)


@pytest.mark.parametrize("name", sorted(set(loss_registry()) - REGULARIZERS))
def test_losses_that_read_feedback_do_not_only_regularize(name):
    loss = loss_registry()[name]()
    assert not is_regularizer(loss)
    assert not is_regularizer(loss + centering)


def test_a_loss_of_weight_zero_reads_nothing():
    assert is_regularizer(0 * hinge + centering)
    assert not is_regularizer(0 * hinge + bradley_terry)


def test_a_loss_that_prices_no_pair_without_its_margin_is_not_a_regularizer():
    @dataclass(frozen=True)
    class LeadAsTold(Loss):
        """Reads the margin as the score_difference that is right."""

        feedback_type = Pairs

        def forward(self, scores: torch.Tensor, feedback: Pairs) -> torch.Tensor:
            return (feedback.score_difference(scores) - feedback.margin) ** 2

    assert not is_regularizer(LeadAsTold())


def test_a_loss_that_reads_ties_alone_is_not_a_regularizer():
    @dataclass(frozen=True)
    class TiedScores(Loss):
        """Asks for equal scores where there is a tie."""

        feedback_type = Pairs

        def forward(self, scores: torch.Tensor, feedback: Pairs) -> torch.Tensor:
            return feedback.tie * feedback.score_difference(scores) ** 2

    assert not is_regularizer(TiedScores())
