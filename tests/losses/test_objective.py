"""Losses add and scale, and sums of losses are objectives."""

import pickle
from dataclasses import FrozenInstanceError, dataclass, fields, replace

import pytest
import torch

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, InvalidLossError, PluginError
from rlhf_losses.feedback import Labels, Mixed, Pairs, Rankings, Ratings, Steps
from rlhf_losses.hooks import loss_registry
from rlhf_losses.losses import (
    Aggregated,
    BradleyTerry,
    CenteredBradleyTerry,
    Hinge,
    LossProperty,
    NamedObjective,
    Objective,
    PairwiseLoss,
    RaoKupper,
    SquaredDifference,
    Term,
    WeightedSum,
    accumulated_pairs,
    bradley_terry,
    centered_bradley_terry,
    centering,
    cross_entropy,
    eurus,
    hinge,
    list_net,
    ordinal_preference,
    plackett_luce,
    rao_kupper,
    score_decay,
    segment_hinge,
    segment_rating,
    squared_error,
    thurstone,
)
from rlhf_losses.testing import check_loss
from rlhf_losses.testing.property_rules import PROPERTY_RULES

SCORES = torch.tensor([2.0, 0.5, -1.0])
ONE_PAIR = Pairs(chosen=[0], rejected=[1])


def test_a_sum_is_the_weighted_sum_of_its_terms():
    value = (bradley_terry + 0.25 * centering + hinge * 2)(SCORES, ONE_PAIR)
    parts = [bradley_terry(SCORES, ONE_PAIR), centering(SCORES, ONE_PAIR), hinge(SCORES, ONE_PAIR)]
    assert float(value) == pytest.approx(float(parts[0] + 0.25 * parts[1] + 2 * parts[2]))


def test_calling_a_loss_gives_the_mean_over_items():
    two_pairs = Pairs(chosen=[0, 0], rejected=[1, 2])
    assert thurstone(SCORES, two_pairs) == thurstone.per_item_loss(SCORES, two_pairs).mean()
    assert thurstone.as_objective()(SCORES, two_pairs) == thurstone(SCORES, two_pairs)


def test_terms_are_averaged_over_their_own_items():
    two_pairs = Pairs(chosen=[0, 0], rejected=[1, 2])
    value = (hinge + score_decay)(SCORES, two_pairs)
    assert float(value) == pytest.approx((0 + 0) / 2 + (2.0**2 + 0.5**2 + 1.0**2) / 3)


def test_each_term_uses_its_own_feedback_type():
    both = Mixed((ONE_PAIR, Steps(steps=[2], values=[1.0])))
    value = (hinge + 0.5 * segment_hinge)(SCORES, both)
    assert float(value) == 0 + 0.5 * (1 - -1.0)


def test_a_term_without_items_in_a_batch_is_0():
    only_pairs = Mixed((ONE_PAIR, Steps(steps=[], values=[])))
    scores = SCORES.clone().requires_grad_()
    value = (bradley_terry + segment_hinge)(scores, only_pairs)
    value.backward()
    assert value == bradley_terry(SCORES, ONE_PAIR)
    assert scores.grad[2] == 0


def test_parentheses_and_nested_sums_are_flattened():
    left = (bradley_terry + centering) + score_decay
    assert left == bradley_terry + (centering + score_decay)
    assert [str(summand) for summand in left.summands] == ["bradley_terry", "centering", "score_decay"]


def test_a_weight_multiplies_every_term_of_a_sum():
    assert 2 * (bradley_terry + 0.5 * centering) == 2 * bradley_terry + centering


def test_weights_multiply():
    assert 2 * (0.5 * bradley_terry) == bradley_terry
    assert 3 * (0.5 * bradley_terry) == 1.5 * bradley_terry


def test_the_weight_can_be_on_either_side():
    assert 0.5 * centering == centering * 0.5


def test_the_weight_1_gives_the_loss_itself():
    assert 1 * bradley_terry == bradley_terry


def test_the_weight_0_is_kept():
    assert str(bradley_terry + 0 * centering) == "bradley_terry + 0 * centering"


@pytest.mark.parametrize("weight", [-1, -1e-9, float("nan"), float("inf"), -float("inf"), True])
def test_a_negative_or_infinite_weight_is_refused(weight):
    with pytest.raises(InvalidLossError, match=rf"weight {weight}.* at least 0.*0.01 \* centering"):
        weight * centering


def test_weights_with_an_infinite_product_are_refused():
    with pytest.raises(InvalidLossError, match=r"weight 1e\+200.*0.01 \* centering"):
        1e200 * (1e200 * centering)


@pytest.mark.parametrize("other", [1, "centering", None, BradleyTerry])
def test_only_losses_can_be_added(other):
    with pytest.raises(TypeError):
        bradley_terry + other


def test_losses_cannot_be_multiplied_or_subtracted():
    with pytest.raises(TypeError):
        bradley_terry * centering
    with pytest.raises(TypeError):
        bradley_terry - centering


def test_a_named_objective_has_the_terms_of_the_equivalent_sum():
    named = CenteredBradleyTerry(coefficient=0.25)
    assert named.terms == (bradley_terry + 0.25 * centering).terms
    assert named(SCORES, ONE_PAIR) == (bradley_terry + 0.25 * centering)(SCORES, ONE_PAIR)


def test_a_named_objective_keeps_its_name_in_a_sum():
    loss = hinge + 2 * centered_bradley_terry
    assert str(loss) == "hinge + 2 * centered_bradley_terry"
    assert loss.terms == (Term(1, hinge), Term(2, bradley_terry), Term(0.02, centering))


def test_a_named_objective_has_options_a_name_and_a_feedback_type():
    assert [(f.name, f.default) for f in fields(CenteredBradleyTerry)] == [("coefficient", 0.01)]
    assert CenteredBradleyTerry.name() == "centered_bradley_terry"
    assert CenteredBradleyTerry.feedback_type is Pairs
    assert replace(centered_bradley_terry, coefficient=0.5).terms[1] == Term(0.5, centering)


@pytest.mark.parametrize("name", ["eurus", "centered_bradley_terry"])
def test_named_objectives_are_registered_between_the_pairwise_losses(name):
    entry = loss_registry().entries[name]
    assert issubclass(entry.cls, NamedObjective)
    assert list(loss_registry())[:12].count(name) == 1


def test_an_objective_has_no_per_item_loss_because_terms_have_different_items():
    for objective in (bradley_terry + centering, centered_bradley_terry):
        assert isinstance(objective, Objective)
        assert not hasattr(objective, "per_item_loss")


def test_as_objective_gives_one_term_for_a_loss_and_the_objective_itself():
    assert hinge.as_objective().terms == (Term(1, hinge),)
    total = hinge + centering
    assert total.as_objective() is total
    assert eurus.as_objective() is eurus


def test_term_names_number_repeated_losses():
    objective = hinge + Hinge(margin=2.0) + bradley_terry + hinge
    assert objective.term_names == ("hinge", "hinge#2", "bradley_terry", "hinge#3")


def test_each_term_has_its_own_loss_parameters():
    objective = rao_kupper + 2 * RaoKupper(tie_width=0.5)
    tie = Pairs(chosen=[0], rejected=[1], tie=[1.0])
    narrow = objective(SCORES, tie, [{"log_tie_width": torch.tensor([0.5]).log()}, {}])
    assert float(narrow) == pytest.approx(3 * float(RaoKupper(tie_width=0.5)(SCORES, tie)))


def test_losses_are_values():
    assert BradleyTerry(label_smoothing=0.1) == BradleyTerry(label_smoothing=0.1)
    assert len({BradleyTerry(), bradley_terry, Hinge(), 1 * hinge}) == 2
    assert hash(bradley_terry + centering) == hash(bradley_terry + centering)
    with pytest.raises(FrozenInstanceError):
        bradley_terry.temperature = 2.0


def test_losses_can_be_pickled_and_changed_by_replace():
    loss = BradleyTerry(label_smoothing=0.1) + 0.01 * centering
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert replace(bradley_terry, temperature=2.0) == BradleyTerry(temperature=2.0)


def test_label_smoothing_removes_monotone_and_proper():
    smoothed = BradleyTerry(label_smoothing=0.1)
    assert smoothed.active_properties() == BradleyTerry.properties & ~(LossProperty.MONOTONE | LossProperty.PROPER)
    assert replace(smoothed, label_smoothing=0.0).active_properties() == BradleyTerry.properties
    large = torch.tensor([20.0, 0.0])
    assert smoothed(large, ONE_PAIR) > smoothed(large / 2, ONE_PAIR)


@pytest.mark.parametrize(
    ("make", "received", "domain"),
    [
        (lambda: BradleyTerry(label_smoothing=0.5), "label_smoothing=0.5", "a number in [0, 0.5)"),
        (lambda: BradleyTerry(label_smoothing=-0.1), "label_smoothing=-0.1", "a number in [0, 0.5)"),
        (lambda: BradleyTerry(label_smoothing=float("nan")), "label_smoothing=nan", "a number in [0, 0.5)"),
        (lambda: BradleyTerry(label_smoothing="much"), "label_smoothing='much'", "a number in [0, 0.5)"),
        (lambda: BradleyTerry(label_smoothing=True), "label_smoothing=True", "a number in [0, 0.5)"),
        (lambda: BradleyTerry(temperature=0.0), "temperature=0.0", "a finite number of at least 1e-06"),
        (lambda: BradleyTerry(temperature=float("inf")), "temperature=inf", "a finite number of at least 1e-06"),
        (lambda: Hinge(margin=-1.0), "margin=-1.0", "a finite number of at least 0"),
        (lambda: CenteredBradleyTerry(coefficient=-0.01), "coefficient=-0.01", "a finite number of at least 0"),
    ],
)
def test_options_out_of_range_are_refused_with_an_example(make, received, domain):
    with pytest.raises(InvalidLossError) as caught:
        make()
    assert received in str(caught.value)
    assert domain in str(caught.value)
    assert "Write for example" in str(caught.value)


def test_feedback_is_converted_to_the_type_of_the_loss():
    ratings = Ratings(candidates=[0, 1], ratings=[5.0, 3.0], sizes=[2])
    assert bradley_terry(SCORES, ratings) == bradley_terry(SCORES, ONE_PAIR)
    assert plackett_luce(SCORES, ratings) == plackett_luce(SCORES, ratings.to_rankings())


@pytest.mark.parametrize(
    "loss", [plackett_luce, accumulated_pairs, squared_error, cross_entropy, segment_rating], ids=str
)
def test_pairs_are_not_converted_to_types_with_more_information(loss):
    with pytest.raises(FeedbackMismatchError):
        loss(SCORES, ONE_PAIR)


@pytest.mark.parametrize(
    ("loss", "feedback", "message"),
    [
        (cross_entropy, Labels(candidates=[0], labels=[1.5]), "label 1.5.*outside 0 to 1.*Rescale"),
        (cross_entropy, Labels(candidates=[0], labels=[-1.0]), "label -1.*outside 0 to 1.*Rescale"),
        (segment_hinge, Steps(steps=[0], values=[0.7]), "labels.*0.7.*binary.*squared_error .* or segment_rating"),
        (segment_hinge, Steps(steps=[0, 1], values=[-1.0, 0.0]), "both -1 and 0.*relabel"),
        (bradley_terry + segment_hinge, Mixed((ONE_PAIR, Steps(steps=[0], values=[0.7]))), "segment_rating"),
    ],
)
def test_labels_outside_the_domain_of_a_loss_are_refused(loss, feedback, message):
    with pytest.raises(InvalidFeedbackError, match=message):
        loss.check(feedback)


def test_labels_within_the_domain_of_a_loss_are_accepted():
    labels = Labels(candidates=[0, 1], labels=[1.0, 0.0])
    steps = Steps(steps=[0, 1], values=[1.0, -1.0])
    for loss, feedback in ((cross_entropy, labels), (segment_hinge, steps), (bradley_terry, ONE_PAIR)):
        assert loss.check(feedback) is None
    (bradley_terry + segment_hinge).check(Mixed((ONE_PAIR, steps)))


def test_a_loss_that_averages_is_refused():
    @dataclass(frozen=True)
    class Mean(PairwiseLoss):
        """Returns one value for all pairs."""

        def per_pair(self, score_difference):
            return score_difference.mean(0, keepdim=True)

    with pytest.raises(PluginError, match=r"\(1,\) for 2 items.*one value per item.*Return a vector"):
        Mean().per_item_loss(SCORES, Pairs(chosen=[0, 0], rejected=[1, 2]))


def test_scores_in_bfloat16_have_losses_in_float32():
    assert bradley_terry.per_item_loss(SCORES.bfloat16(), ONE_PAIR).dtype == torch.float32
    assert bradley_terry(SCORES.bfloat16(), ONE_PAIR).dtype == torch.float32
    assert bradley_terry.per_item_loss(SCORES.double(), ONE_PAIR).dtype == torch.float64


def test_a_sum_of_one_loss_has_the_string_form_of_the_loss():
    assert isinstance(bradley_terry.as_objective(), WeightedSum)
    assert str(bradley_terry.as_objective()) == "bradley_terry"


def test_rankings_are_converted_for_the_pairwise_terms_of_a_sum():
    rankings = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3])
    value = (plackett_luce + 0.01 * centering)(SCORES, rankings)
    pairs = [(2.0 + 0.5) ** 2, (2.0 - 1.0) ** 2, (0.5 - 1.0) ** 2]
    assert float(value) == pytest.approx(float(plackett_luce(SCORES, rankings)) + 0.01 * sum(pairs) / 3)


def test_a_sum_has_the_properties_of_all_terms_that_sums_preserve():
    lost = LossProperty.PROPER | LossProperty.HOMOGENEOUS
    common = bradley_terry.properties & plackett_luce.properties
    assert (bradley_terry + 0.5 * plackett_luce).active_properties() == common & ~lost
    assert (squared_error + 0.1 * score_decay).active_properties() == squared_error.properties & ~lost
    assert (2 * bradley_terry).active_properties() == bradley_terry.properties & ~lost
    assert LossProperty.SHIFT_INVARIANT not in (bradley_terry + 0.01 * centering).active_properties()


@pytest.mark.parametrize(
    "loss",
    [
        bradley_terry + 0.5 * plackett_luce,
        bradley_terry + 0.01 * centering,
        bradley_terry + segment_hinge,
        2 * Hinge(margin=0.0) + thurstone,
        squared_error + 0.1 * score_decay,
        0.3 * accumulated_pairs + 0.7 * list_net,
    ],
    ids=str,
)
@pytest.mark.usefixtures("without_shape_checks")
def test_the_properties_of_a_sum_are_true(loss):
    assert loss.active_properties()
    for one in loss.active_properties():
        PROPERTY_RULES[one](loss)


@pytest.mark.usefixtures("without_shape_checks")
def test_check_loss_tests_the_properties_of_a_sum():
    wrong = bradley_terry + 0.01 * centering
    object.__setattr__(wrong, "active_properties", lambda: LossProperty.SHIFT_INVARIANT)
    with pytest.raises(AssertionError, match="Remove SHIFT_INVARIANT from properties"):
        check_loss(wrong)


@pytest.mark.parametrize(
    ("loss", "lost"),
    [
        (2 * bradley_terry, LossProperty.PROPER),
        (bradley_terry + thurstone, LossProperty.PROPER),
        (Hinge(margin=0.0) + score_decay, LossProperty.HOMOGENEOUS),
    ],
    ids=str,
)
@pytest.mark.usefixtures("without_shape_checks")
def test_a_property_that_a_sum_loses_is_false(loss, lost):
    assert all(lost in term.loss.active_properties() for term in loss.terms)
    with pytest.raises(AssertionError, match="from properties"):
        PROPERTY_RULES[lost](loss)


@pytest.mark.parametrize("loss", [eurus, centered_bradley_terry], ids=str)
def test_a_named_objective_has_the_properties_of_the_equivalent_sum(loss):
    assert loss.active_properties() == loss.expand().active_properties() != LossProperty.NONE


@pytest.mark.parametrize(
    "loss", [Hinge(margin=0.0), Hinge(margin=0.0, power=2.0), SquaredDifference(target=0.0)], ids=str
)
def test_a_loss_without_a_score_unit_of_its_own_is_homogeneous(loss):
    assert LossProperty.HOMOGENEOUS in loss.active_properties()
    assert LossProperty.HOMOGENEOUS not in type(loss)().active_properties()
    for one in (loss, Aggregated(of=loss), Aggregated(of=loss, by="minimum")):
        PROPERTY_RULES[LossProperty.HOMOGENEOUS](one)
        assert LossProperty.HOMOGENEOUS in one.active_properties()
    assert LossProperty.HOMOGENEOUS not in Aggregated(of=loss, by="soft_minimum").active_properties()


def test_an_objective_sees_the_ties_of_its_losses():
    graded = Pairs(chosen=[0, 0, 0], rejected=[1, 1, 1], margin=[0.0, 2.0, 2.0], tie=[0.0, 0.0, 0.25])
    labels = Labels(candidates=[0], labels=[1.0])
    pairs, other = (ordinal_preference + cross_entropy).with_outcomes(Mixed((graded, labels))).parts
    assert torch.stack(pairs.outcomes()).T.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.75, 0.25, 0.0]]
    assert other is labels
    assert (bradley_terry + 0.01 * centering).with_outcomes(graded) is graded
