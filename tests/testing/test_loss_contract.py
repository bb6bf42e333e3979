"""check_loss finds what is wrong: one loss for each rule that breaks only that rule."""

from dataclasses import dataclass

import pytest
import torch
from torch.nn.functional import logsigmoid, relu

from rlhf_losses.feedback import Feedback, Pairs, Rankings, Votes
from rlhf_losses.losses import (
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


class Thawed(PairwiseLoss):
    """Lacks the decorator."""

    def per_pair(self, score_difference):
        return relu(-score_difference)


@dataclass(frozen=True)
class Needy(PairwiseLoss):
    """Has an option without a default."""

    strength: float

    def per_pair(self, score_difference):
        return self.strength * relu(-score_difference)


@dataclass(frozen=True)
class Speechless(PairwiseLoss):
    """Has an option that cannot be written down."""

    powers: tuple[int, ...] = (1, 2)

    def per_pair(self, score_difference):
        return relu(-score_difference) ** self.powers[0]


@dataclass(frozen=True)
class Averaged(PairwiseLoss):
    """Takes the mean itself."""

    def per_pair(self, score_difference):
        return -logsigmoid(score_difference).mean()


@dataclass(frozen=True)
class Overflowing(PairwiseLoss):
    """Is right on paper and infinite at large scores."""

    def per_pair(self, score_difference):
        return torch.log(1 + torch.exp(-score_difference))


@dataclass(frozen=True)
class Coarse(PairwiseLoss):
    """Prices in a type of its own."""

    def per_pair(self, score_difference):
        return relu(-score_difference).half().clamp(max=1).to(torch.float16)


@dataclass(frozen=True)
class Relative(PairwiseLoss):
    """Compares a pair with the other pairs of its batch."""

    def per_pair(self, score_difference):
        return relu(score_difference.mean() - score_difference)


@dataclass(frozen=True)
class Positional(ListwiseLoss):
    """Takes the answers of a list to be written best first."""

    def per_list(self, scores, ranks):
        return relu(scores[-1] - scores[0])


@dataclass(frozen=True)
class CutOff(ListwiseLoss):
    """Answers an empty batch with a vector that knows no scores."""

    def forward(self, scores, feedback):
        lists = [self.per_list(*one) for one in feedback.lists(scores)]
        return torch.stack(lists) if lists else torch.zeros(0)

    def per_list(self, scores, ranks):
        return scores.logsumexp(0) - scores.mean()


@dataclass(frozen=True)
class Infinite(PairwiseLoss):
    """Has a finite value and no finite gradient at a score_difference of zero."""

    def per_pair(self, score_difference):
        return score_difference.abs().sqrt()


@dataclass(frozen=True)
class Deceitful(PairwiseLoss):
    """Cuts its own gradient in half."""

    def per_pair(self, score_difference):
        return relu(1 - (score_difference + score_difference.detach()) / 2)


@dataclass(frozen=True)
class Anchored(PairwiseLoss):
    """LossProperty not to see a shift that it sees."""

    properties = LossProperty.SHIFT_INVARIANT

    def forward(self, scores, feedback):
        return scores[feedback.chosen] ** 2

    def per_pair(self, score_difference):
        return score_difference


@dataclass(frozen=True)
class Worldly(PairwiseLoss):
    """LossProperty to have no unit of its own, and asks for a score_difference of 1."""

    properties = LossProperty.HOMOGENEOUS

    def per_pair(self, score_difference):
        return relu(1 - score_difference)


@dataclass(frozen=True)
class Backward(PairwiseLoss):
    """LossProperty to reward approval and punishes it."""

    properties = LossProperty.MONOTONE

    def per_pair(self, score_difference):
        return relu(score_difference)


@dataclass(frozen=True)
class Generous(PairwiseLoss):
    """LossProperty to cost something and pays."""

    properties = LossProperty.NON_NEGATIVE

    def per_pair(self, score_difference):
        return -score_difference


@dataclass(frozen=True)
class Bent(PairwiseLoss):
    """LossProperty to be convex and flattens out."""

    properties = LossProperty.CONVEX

    def per_pair(self, score_difference):
        return torch.sigmoid(-score_difference)


@dataclass(frozen=True)
class OneSided(PairwiseLoss):
    """LossProperty to treat both answers alike, and looks at one of them only."""

    properties = LossProperty.REVERSIBLE

    def forward(self, scores, feedback):
        return relu(1 - scores[feedback.chosen])

    def per_pair(self, score_difference):
        return score_difference


@dataclass(frozen=True)
class Overconfident(PairwiseLoss):
    """LossProperty to be the logarithm of a probability, and is twice that."""

    properties = LossProperty.PROPER

    def per_pair(self, score_difference):
        return -2 * logsigmoid(score_difference)


@dataclass(frozen=True)
class Idle(PairwiseLoss):
    """Names a number to learn and does not use it."""

    @property
    def loss_parameters(self):
        return {"width": (1.0,)}

    def forward(self, scores, feedback, width):
        return relu(-feedback.score_difference(scores))

    def per_pair(self, score_difference):
        return relu(-score_difference)


@dataclass(frozen=True)
class Endless(PairwiseLoss):
    """Starts from a number that is none."""

    @property
    def loss_parameters(self):
        return {"width": (float("inf"),)}

    def forward(self, scores, feedback, width):
        return relu(-feedback.score_difference(scores))

    def per_pair(self, score_difference):
        return relu(-score_difference)


@dataclass(frozen=True)
class SecretlyJumpy(PairwiseLoss):
    """Rewards the higher score of the chosen answer in general, and punishes the last bit of it."""

    properties = LossProperty.MONOTONE

    def per_pair(self, score_difference):
        return relu(1 - score_difference) + relu(score_difference - 20)


@dataclass(frozen=True)
class Picky(RatingLoss):
    """Refuses every rating."""

    def require_domain(self, feedback):
        from rlhf_losses.errors import InvalidFeedbackError

        raise InvalidFeedbackError("No.")

    def per_rating(self, scores, ratings):
        return (scores - ratings) ** 2


@dataclass(frozen=True)
class Stranger(Loss):
    """Reads a kind of feedback that nobody knows."""

    feedback_type = type("Whispers", (Feedback,), {})

    def forward(self, scores, feedback):
        return scores


@dataclass(frozen=True)
class Sweeping(Regularizer):
    """Keeps the contract: looks at all scores."""

    properties = LossProperty.NON_NEGATIVE | LossProperty.CONVEX

    def per_score(self, scores):
        return scores.abs()


@pytest.mark.parametrize(
    ("loss", "rule"),
    [
        (Thawed(), "documented, frozen dataclass"),
        (Needy(strength=2.0), "default for every option"),
        (Needy, "It is a class"),
        ("bradley_terry", "not a class derived from Loss"),
        (Speechless(powers=(2,)), "parses back"),
        (Averaged(), "one finite number an item"),
        (Overflowing(), "one finite number an item"),
        (Coarse(), "Keep the type of the scores"),
        (Relative(), "alone and in a batch"),
        (Positional(), "whatever order its answers are written"),
        (CutOff(), "Return scores\\[:0\\]"),
        (Infinite(), "Gradients are finite"),
        (Deceitful(), "gradient is that of the value"),
        (Anchored(), "claims to be shift invariant"),
        (Worldly(), "claims to be homogeneous"),
        (Backward(), "claims to be monotone"),
        (Generous(), "claims to be non-negative"),
        (Bent(), "claims to be convex"),
        (OneSided(), "claims to be reversible"),
        (Overconfident(), "claims to be proper"),
        (Idle(), "No cost depends on width"),
        (Endless(), "a tuple of finite numbers"),
        (SecretlyJumpy(), "claims to be monotone"),
        (Picky(), "refuses every example of Ratings"),
        (Stranger(), "there are no examples"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_a_loss_that_breaks_a_rule_is_told_which(loss, rule):
    name = loss.__name__ if isinstance(loss, type) else type(loss).__name__
    with pytest.raises(AssertionError, match=rule) as caught:
        check_loss(loss)
    assert str(caught.value).startswith(f"{name} breaks a rule. ")


def test_a_regularizer_keeps_the_contract_without_reading_feedback():
    check_loss(Sweeping())


def test_a_sum_is_as_good_as_its_terms():
    check_loss(bradley_terry + 0.5 * Sweeping())
    with pytest.raises(AssertionError, match="Overflowing breaks a rule"):
        check_loss(bradley_terry + 0.5 * Overflowing())


def test_a_wrong_claim_about_a_rare_case_is_found():
    """Only ties and doubtful pairs make this loss pay."""

    @dataclass(frozen=True)
    class Doubtful(PairwiseLoss):
        """Costs what chosen answers lack, and pays for doubt."""

        properties = LossProperty.NON_NEGATIVE

        def forward(self, scores: torch.Tensor, feedback: Pairs) -> torch.Tensor:
            costs = relu(-feedback.score_difference(scores))
            return costs if feedback.preference is None else costs - (feedback.preference < 1).float()

        def per_pair(self, score_difference):
            return relu(-score_difference)

    with pytest.raises(AssertionError, match="non-negative"):
        check_loss(Doubtful())


def test_a_list_loss_that_knows_no_ties_may_refuse_them():
    @dataclass(frozen=True)
    class Strict(ListwiseLoss):
        """Reads rankings without ties."""

        def require_domain(self, feedback: Rankings) -> None:
            from rlhf_losses.errors import InvalidFeedbackError

            for _, ranks in feedback.lists(torch.zeros(feedback.score_count())):
                if len(set(ranks.tolist())) < len(ranks):
                    raise InvalidFeedbackError("Strict got a tie. Break it or drop the list.")

        def per_list(self, scores, ranks):
            assert len(set(ranks.tolist())) == len(ranks)
            return scores.logsumexp(0) - scores[ranks.argmin()]

    check_loss(Strict())


def test_a_loss_may_read_votes():
    @dataclass(frozen=True)
    class Ballot(Loss):
        """Costs a vote for each annotator who would be disappointed."""

        feedback_type = Votes
        properties = (
            LossProperty.SHIFT_INVARIANT | LossProperty.MONOTONE | LossProperty.NON_NEGATIVE | LossProperty.CONVEX
        )

        def forward(self, scores: torch.Tensor, feedback: Votes) -> torch.Tensor:
            score_difference = scores[feedback.first] - scores[feedback.second]
            return feedback.votes_first * relu(-score_difference) + feedback.votes_second * relu(score_difference)

    check_loss(Ballot())


def test_a_sum_may_read_several_kinds_of_feedback():
    check_loss(bradley_terry + 0.5 * segment_hinge + 2 * squared_error)
