"""The base class of losses: its feedback type, its values per item, and its parameters."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import pytest
import torch

from rlhf_losses.errors import FeedbackMismatchError, PluginError
from rlhf_losses.feedback import Feedback, Labels, Lengths, Pairs, Rankings, Ratings, Steps, Votes
from rlhf_losses.losses import (
    BatchLoss,
    BradleyTerry,
    GradedLoss,
    LabelLoss,
    ListwiseLoss,
    Loss,
    PairwiseLoss,
    RatingLoss,
    Regularizer,
    StepwiseLoss,
    TieLoss,
    davidson,
    score_decay,
    squared_error,
)

SCORES = torch.tensor([2.0, 0.5, -1.0])
F = TypeVar("F", bound=Feedback)


class OfVotes(Loss[Votes]):
    """Derives its feedback type from the type argument."""


class OfVotesToo(OfVotes):
    """Inherits the feedback type."""


class MyPairwise(PairwiseLoss):
    """Inherits the feedback type of its family."""


class Declared(Loss):
    """Declares its feedback type."""

    feedback_type = Labels


class Redeclared(Loss[Pairs]):
    """Declares another feedback type than its type argument."""

    feedback_type = Votes


class OfLengths(BatchLoss[Lengths]):
    """Derives the feedback type of a family with a type argument."""


class MyFamily(Loss[F], Generic[F]):
    """A family with a type argument of its own."""


class OfMyFamily(MyFamily[Steps]):
    """Derives the feedback type from the type argument of a family."""


@pytest.mark.parametrize(
    ("loss_class", "feedback_type"),
    [
        (Loss, Feedback),
        (OfVotes, Votes),
        (OfVotesToo, Votes),
        (MyPairwise, Pairs),
        (Declared, Labels),
        (Redeclared, Votes),
        (BatchLoss, Feedback),
        (OfLengths, Lengths),
        (MyFamily, Feedback),
        (OfMyFamily, Steps),
        (PairwiseLoss, Pairs),
        (TieLoss, Pairs),
        (ListwiseLoss, Rankings),
        (GradedLoss, Rankings),
        (RatingLoss, Ratings),
        (LabelLoss, Labels),
        (StepwiseLoss, Steps),
        (Regularizer, Feedback),
        (BradleyTerry, Pairs),
    ],
    ids=lambda one: one.__name__,
)
def test_the_feedback_type_is_the_type_argument_or_the_declared_type(loss_class, feedback_type):
    assert loss_class.feedback_type is feedback_type


def test_forward_receives_exactly_the_feedback_type_and_float32():
    received = []

    @dataclass(frozen=True)
    class Recorder(Loss[Pairs]):
        """Records its arguments."""

        def forward(self, scores, feedback, parameters):
            received.append((scores.dtype, type(feedback), dict(parameters)))
            return scores[feedback.chosen]

    ratings = Ratings(candidates=[0, 1], ratings=[1.0, 2.0], sizes=[2])
    assert Recorder().per_item_loss(SCORES.bfloat16(), ratings).tolist() == [0.5]
    assert received == [(torch.float32, Pairs, {})]


def test_parameters_that_are_not_passed_have_their_initial_values():
    tie = Pairs(chosen=[0], rejected=[1], tie=[1.0])
    initial = davidson.per_item_loss(SCORES, tie)
    assert davidson.per_item_loss(SCORES, tie, {"log_tie_odds": torch.tensor([0.0])}).equal(initial)
    assert not davidson.per_item_loss(SCORES, tie, {"log_tie_odds": torch.tensor([1.0])}).equal(initial)


def test_initial_parameters_have_the_dtype_of_the_scores():
    (value,) = davidson.initial_parameters(SCORES.double()).values()
    assert (value.dtype, value.tolist()) == (torch.float64, [0.0])


def test_the_mean_over_no_items_is_0():
    assert squared_error(SCORES, Ratings(candidates=[], ratings=[], sizes=[])) == 0
    assert score_decay(SCORES[:0], Labels(candidates=[], labels=[])) == 0


def test_feedback_that_cannot_be_converted_is_refused():
    with pytest.raises(FeedbackMismatchError, match="Labels cannot be converted to Pairs"):
        BradleyTerry()(SCORES, Labels(candidates=[0], labels=[1.0]))


def test_a_tensor_of_another_shape_than_the_items_is_refused():
    @dataclass(frozen=True)
    class TooMany(RatingLoss):
        """Returns one value too many."""

        def forward(self, scores, feedback, parameters):
            return scores

        def per_rating(self, scores, ratings):
            return scores

    with pytest.raises(PluginError, match=r"too_many .*\(3,\) for 2 items"):
        TooMany()(SCORES, Ratings([0, 1], [1.0, 2.0], [2]))
