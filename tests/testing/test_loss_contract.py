"""`check_loss` finds each violation: there is one loss for each rule, which breaks only this rule."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch.nn.functional import logsigmoid, relu

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Feedback, Lengths, Pairs, Rankings, Votes
from rlhf_losses.losses import (
    BatchLoss,
    ListwiseLoss,
    Loss,
    LossProperty,
    PairwiseLoss,
    RatingLoss,
    Regularizer,
    bradley_terry,
    segment_hinge,
    squared_error,
)
from rlhf_losses.testing import check_loss

pytestmark = pytest.mark.usefixtures("without_shape_checks")


class NotFrozen(PairwiseLoss):
    """Is not decorated."""

    def per_pair(self, score_difference):
        return relu(-score_difference)


@dataclass(frozen=True)
class WithoutDefault(PairwiseLoss):
    """Has an option without a default."""

    strength: float

    def per_pair(self, score_difference):
        return self.strength * relu(-score_difference)


@dataclass(frozen=True)
class TupleOption(PairwiseLoss):
    """Has an option without a string form."""

    powers: tuple[int, ...] = (1, 2)

    def per_pair(self, score_difference):
        return relu(-score_difference) ** self.powers[0]


@dataclass(frozen=True)
class Averaged(PairwiseLoss):
    """Computes the mean."""

    def per_pair(self, score_difference):
        return -logsigmoid(score_difference).mean()


@dataclass(frozen=True)
class Overflowing(PairwiseLoss):
    """Overflows for large scores."""

    def per_pair(self, score_difference):
        return torch.log(1 + torch.exp(-score_difference))


@dataclass(frozen=True)
class HalfPrecision(PairwiseLoss):
    """Returns float16."""

    def per_pair(self, score_difference):
        return relu(-score_difference).half().clamp(max=1).to(torch.float16)


@dataclass(frozen=True)
class BatchRelative(PairwiseLoss):
    """Compares a pair with the other pairs of its batch."""

    def per_pair(self, score_difference):
        return relu(score_difference.mean() - score_difference)


@dataclass(frozen=True)
class OrderDependent(ListwiseLoss):
    """Assumes that the first answer of a list is the best."""

    def per_list(self, scores, ranks):
        return ranks.max() * relu(scores[-1] - scores[0])


@dataclass(frozen=True)
class WithoutGradient(ListwiseLoss):
    """Returns a vector without gradient for an empty batch."""

    def forward(self, scores, feedback, parameters):
        lists = [self.per_list(*one) for one in feedback.lists(scores)]
        return torch.stack(lists) if lists else torch.zeros(0)

    def per_list(self, scores, ranks):
        return scores.logsumexp(0) - scores[ranks == ranks.min()].mean()


@dataclass(frozen=True)
class InfiniteGradient(PairwiseLoss):
    """Has an infinite gradient at the score difference 0."""

    def per_pair(self, score_difference):
        return score_difference.abs().sqrt()


@dataclass(frozen=True)
class WrongGradient(PairwiseLoss):
    """Has half of the correct gradient."""

    def per_pair(self, score_difference):
        return relu(1 - (score_difference + score_difference.detach()) / 2)


@dataclass(frozen=True)
class NotShiftInvariant(PairwiseLoss):
    """Declares shift invariance and depends on one score."""

    properties = LossProperty.SHIFT_INVARIANT

    def forward(self, scores, feedback, parameters):
        return scores[feedback.chosen] ** 2

    def per_pair(self, score_difference):
        return score_difference


@dataclass(frozen=True)
class NotHomogeneous(PairwiseLoss):
    """Declares homogeneity and has a margin of 1."""

    properties = LossProperty.HOMOGENEOUS

    def per_pair(self, score_difference):
        return relu(1 - score_difference)


@dataclass(frozen=True)
class NotMonotone(PairwiseLoss):
    """Declares monotonicity and increases with the score of the chosen answer."""

    properties = LossProperty.MONOTONE

    def per_pair(self, score_difference):
        return relu(score_difference)


@dataclass(frozen=True)
class NotMonotoneForLargeScores(PairwiseLoss):
    """Declares monotonicity and increases for score differences above 20."""

    properties = LossProperty.MONOTONE

    def per_pair(self, score_difference):
        return relu(1 - score_difference) + relu(score_difference - 20)


@dataclass(frozen=True)
class Negative(PairwiseLoss):
    """Declares non-negative values and has negative values."""

    properties = LossProperty.NON_NEGATIVE

    def per_pair(self, score_difference):
        return -score_difference


@dataclass(frozen=True)
class NegativeForTies(PairwiseLoss):
    """Declares non-negative values and has negative values for ties and soft preferences only."""

    properties = LossProperty.NON_NEGATIVE

    def forward(self, scores, feedback, parameters):
        loss = relu(-feedback.score_difference(scores))
        return loss if feedback.preference is None else loss - (feedback.preference < 1).float()

    def per_pair(self, score_difference):
        return relu(-score_difference)


@dataclass(frozen=True)
class NotConvex(PairwiseLoss):
    """Declares convexity and is bounded."""

    properties = LossProperty.CONVEX

    def per_pair(self, score_difference):
        return torch.sigmoid(-score_difference)


@dataclass(frozen=True)
class NotReversible(PairwiseLoss):
    """Declares reversibility and depends on one of two answers."""

    properties = LossProperty.REVERSIBLE

    def forward(self, scores, feedback, parameters):
        return relu(1 - scores[feedback.chosen])

    def per_pair(self, score_difference):
        return score_difference


@dataclass(frozen=True)
class NotProper(PairwiseLoss):
    """Declares a negative log-likelihood and is two times that."""

    properties = LossProperty.PROPER

    def per_pair(self, score_difference):
        return -2 * logsigmoid(score_difference)


@dataclass(frozen=True)
class UnusedParameter(PairwiseLoss):
    """Has a loss parameter and does not use it."""

    @property
    def loss_parameters(self):
        return {"width": (1.0,)}

    def per_pair(self, score_difference):
        return relu(-score_difference)


@dataclass(frozen=True)
class InfiniteParameter(PairwiseLoss):
    """Has a loss parameter with an infinite initial value."""

    @property
    def loss_parameters(self):
        return {"width": (float("inf"),)}

    def per_pair(self, score_difference):
        return relu(-score_difference)


@dataclass(frozen=True)
class RefusesAll(RatingLoss):
    """Refuses every rating."""

    def require_domain(self, feedback):
        raise InvalidFeedbackError("No.")

    def per_rating(self, scores, ratings):
        return (scores - ratings) ** 2


@dataclass(frozen=True)
class UnknownFeedback(Loss):
    """Has an unknown feedback type."""

    feedback_type = type("Whispers", (Feedback,), {})

    def forward(self, scores, feedback, parameters):
        return scores


@dataclass(frozen=True)
class UndeclaredRegularizer(RatingLoss):
    """Does not depend on the rating and does not declare this."""

    def per_rating(self, scores, ratings):
        return scores**2


@dataclass(frozen=True)
class DeclaredRegularizer(RatingLoss):
    """Declares not to depend on the rating and depends on it."""

    uses_labels = False

    def per_rating(self, scores, ratings):
        return (scores - ratings) ** 2


@dataclass(frozen=True)
class MomentsOfBatch(BatchLoss[Lengths]):
    """Computes moments from the whole batch instead of each item."""

    uses_labels = False

    def moments(self, scores, feedback):
        scores = scores[feedback.texts].double()
        return (scores - scores.mean()).square().unsqueeze(1)

    def of_means(self, means):
        return means[0]


@dataclass(frozen=True)
class RequiresUnknownColumn(PairwiseLoss):
    """Requires a column that pairs do not have."""

    required_columns = ("strength",)

    def per_pair(self, score_difference):
        return relu(-score_difference)


@dataclass(frozen=True)
class UsesUnknownColumn(PairwiseLoss):
    """Says what it does with a column that pairs do not have."""

    column_uses = {"votes": "are counted"}  # noqa: RUF012

    def per_pair(self, score_difference):
        return relu(-score_difference)


@dataclass(frozen=True)
class OtherOutcomes(PairwiseLoss):
    """Calls each pair a tie, but is not trained so."""

    def with_outcomes(self, feedback):
        return replace(feedback, preference=torch.full((len(feedback),), 0.5), tie=None)

    def per_pair(self, score_difference):
        return relu(-score_difference)


@dataclass(frozen=True)
class AbsoluteScore(Regularizer):
    """Absolute score; it keeps the contract."""

    properties = LossProperty.NON_NEGATIVE | LossProperty.CONVEX

    def per_score(self, scores):
        return scores.abs()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (NotFrozen(), "documented, frozen dataclass"),
        (WithoutDefault(strength=2.0), "default for every option"),
        (WithoutDefault, "The argument is a class"),
        ("bradley_terry", "not a class derived from Loss"),
        (TupleOption(powers=(2,)), "parses to"),
        (UndeclaredRegularizer(), "Set uses_labels = False"),
        (DeclaredRegularizer(), "Set uses_labels = True"),
        (RequiresUnknownColumn(), "required_columns .*'strength', which is no optional column of Pairs.* Name"),
        (
            UsesUnknownColumn(),
            "column_uses .*'votes', which is no optional column of Pairs.* Name one of prompt, margin",
        ),
        (OtherOutcomes(), "Change only outcomes that forward reads in the same way"),
        (Averaged(), "one finite value per item"),
        (Overflowing(), "one finite value per item"),
        (HalfPrecision(), "Keep the dtype of the scores"),
        (BatchRelative(), "alone and in a batch"),
        (MomentsOfBatch(), "Compute each moment from one item"),
        (OrderDependent(), "does not depend on the order of its candidates"),
        (WithoutGradient(), r"Return scores\[:0\]"),
        (InfiniteGradient(), "Gradients are finite"),
        (WrongGradient(), "gradient equals finite differences"),
        (NotShiftInvariant(), "Remove SHIFT_INVARIANT"),
        (NotHomogeneous(), "Remove HOMOGENEOUS"),
        (NotMonotone(), "Remove MONOTONE"),
        (NotMonotoneForLargeScores(), "Remove MONOTONE"),
        (Negative(), "Remove NON_NEGATIVE"),
        (NegativeForTies(), "Remove NON_NEGATIVE"),
        (NotConvex(), "Remove CONVEX"),
        (NotReversible(), "Remove REVERSIBLE"),
        (NotProper(), "remove PROPER"),
        (UnusedParameter(), "No value depends on width"),
        (InfiniteParameter(), "a tuple of finite numbers"),
        (RefusesAll(), "refuses every example of Ratings"),
        (UnknownFeedback(), "Whispers, for which there are no examples"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_the_message_has_the_loss_the_rule_and_a_remedy(loss, message):
    name = loss.__name__ if isinstance(loss, type) else type(loss).__name__
    with pytest.raises(AssertionError, match=message) as caught:
        check_loss(loss)
    assert str(caught.value).startswith(f"{name} breaks a rule. ")


def test_a_regularizer_keeps_the_contract():
    check_loss(AbsoluteScore())


def test_each_term_of_a_sum_is_checked():
    check_loss(bradley_terry + 0.5 * AbsoluteScore())
    with pytest.raises(AssertionError, match="Overflowing breaks a rule"):
        check_loss(bradley_terry + 0.5 * Overflowing())


def test_a_listwise_loss_may_refuse_ties():
    @dataclass(frozen=True)
    class WithoutTies(ListwiseLoss):
        """Refuses ties."""

        def require_domain(self, feedback: Rankings) -> None:
            for _, ranks in feedback.lists(torch.zeros(feedback.score_count())):
                if len(set(ranks.tolist())) < len(ranks):
                    raise InvalidFeedbackError("without_ties received a tie. Drop the list.")

        def per_list(self, scores, ranks):
            assert len(set(ranks.tolist())) == len(ranks)
            return scores.logsumexp(0) - scores[ranks.argmin()]

    check_loss(WithoutTies())


def test_a_loss_of_votes_can_keep_the_contract():
    @dataclass(frozen=True)
    class VoteHinge(Loss[Votes]):
        """Hinge loss of the score difference for each vote."""

        properties = (
            LossProperty.SHIFT_INVARIANT | LossProperty.MONOTONE | LossProperty.NON_NEGATIVE | LossProperty.CONVEX
        )

        def forward(self, scores, feedback, parameters):
            difference = scores[feedback.first] - scores[feedback.second]
            return feedback.votes_first * relu(-difference) + feedback.votes_second * relu(difference)

    check_loss(VoteHinge())


def test_a_loss_with_a_temperature_parameter_keeps_the_contract():
    @dataclass(frozen=True)
    class TrainableTemperature(Loss[Pairs]):
        """Bradley–Terry loss with a trainable temperature."""

        @property
        def loss_parameters(self):
            return {"log_temperature": (0.0,)}

        def forward(self, scores, feedback, parameters):
            return -logsigmoid(feedback.score_difference(scores) / parameters["log_temperature"].exp())

    check_loss(TrainableTemperature())


def test_a_sum_can_have_several_feedback_types():
    check_loss(bradley_terry + 0.5 * segment_hinge + 2 * squared_error)
