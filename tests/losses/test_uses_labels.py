"""Each loss declares whether it depends on the annotations, and `check_loss` tests the declaration."""

from dataclasses import dataclass

import pytest

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Pairs
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses import (
    BradleyTerry,
    Centering,
    LabelLoss,
    Loss,
    PairwiseLoss,
    PlackettLuce,
    bradley_terry,
    centering,
    hinge,
    score_decay,
)
from rlhf_losses.testing import check_loss

pytestmark = pytest.mark.usefixtures("without_shape_checks")

REGULARIZERS = {"centering", "score_decay", "log_barrier", "batch_sum_to_zero", "length_decorrelation"}


@pytest.mark.parametrize("name", sorted(REGULARIZERS))
def test_regularizers_and_their_sums_do_not_use_labels(name):
    loss = loss_registry()[name]()
    assert not loss.uses_labels
    assert not (0.5 * loss + centering + score_decay).uses_labels
    assert (bradley_terry + loss).uses_labels


@pytest.mark.parametrize("name", sorted(set(loss_registry()) - REGULARIZERS))
def test_all_other_losses_use_labels(name):
    loss = loss_registry()[name]()
    assert loss.uses_labels
    assert (loss + centering).uses_labels


def test_a_term_of_weight_0_uses_no_labels():
    assert not (0 * hinge + centering).uses_labels
    assert (0 * hinge + bradley_terry).uses_labels


@dataclass(frozen=True)
class TargetMargin(Loss[Pairs]):
    """Squared difference between the score difference and the margin."""

    def require_domain(self, feedback):
        if feedback.margin is None:
            raise InvalidFeedbackError("Pairs have no margin. Add the column margin.")

    def forward(self, scores, feedback, parameters):
        margin = 0 if feedback.margin is None else feedback.margin
        return (feedback.score_difference(scores) - margin) ** 2


@dataclass(frozen=True)
class TiedScores(Loss[Pairs]):
    """Square of the score difference of tied pairs."""

    def forward(self, scores, feedback, parameters):
        difference = feedback.score_difference(scores)
        return 0 * difference if feedback.tie is None else feedback.tie * difference**2


@dataclass(frozen=True)
class LabelsAsWeights(LabelLoss):
    """Squared score times the label."""

    def per_label(self, scores, labels):
        return labels * scores**2


def not_declared(loss_class: type[Loss]) -> Loss:
    """Return a loss of this class that declares not to use labels."""
    return dataclass(frozen=True)(
        type(loss_class.__name__, (loss_class,), {"uses_labels": False, "__doc__": "Wrong."})
    )()


@pytest.mark.parametrize("loss_class", [TargetMargin, TiedScores, LabelsAsWeights])
def test_a_loss_that_uses_labels_keeps_the_contract(loss_class):
    check_loss(loss_class())


@pytest.mark.parametrize("loss_class", [TargetMargin, TiedScores, LabelsAsWeights, BradleyTerry, PlackettLuce])
def test_a_loss_that_uses_labels_and_does_not_declare_it_is_refused(loss_class):
    with pytest.raises(AssertionError, match=r"changes a value\. Set uses_labels = True"):
        check_loss(not_declared(loss_class))


def test_a_loss_that_declares_labels_and_does_not_use_them_is_refused():
    @dataclass(frozen=True)
    class ScoresOfLabels(LabelLoss):
        """Squared score, independent of the label."""

        def per_label(self, scores, labels):
            return scores**2

    with pytest.raises(AssertionError, match=r"No other feedback .*\. Set uses_labels = False"):
        check_loss(ScoresOfLabels())


def test_a_symmetric_pairwise_loss_uses_labels_because_of_margins():
    @dataclass(frozen=True)
    class Symmetric(PairwiseLoss):
        """Squared score difference minus margin."""

        def per_pair(self, score_difference):
            return score_difference**2

    check_loss(Symmetric())


def test_the_declaration_of_a_subclass_is_checked_too():
    @dataclass(frozen=True)
    class LabelledCentering(Centering):
        """Centering that declares labels."""

        uses_labels = True

    with pytest.raises(AssertionError, match="Set uses_labels = False"):
        check_loss(LabelledCentering())
