"""Losses add and scale."""

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, InvalidLossError, PluginError
from rlhf_losses.feedback import Labels, Mixed, Pairs, Rankings, Ratings, Steps
from rlhf_losses.losses import (
    Aggregated,
    BradleyTerry,
    CenteredBradleyTerry,
    Hinge,
    LossProperty,
    PairwiseLoss,
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
    plackett_luce,
    score_decay,
    segment_hinge,
    segment_rating,
    squared_error,
    thurstone,
)
from rlhf_losses.testing import check_loss
from rlhf_losses.testing.property_rules import CLAIM_RULES

SCORES = torch.tensor([2.0, 0.5, -1.0])
ONE_PAIR = Pairs(chosen=[0], rejected=[1])


def test_a_sum_costs_the_weighted_sum_of_its_terms():
    cost = (bradley_terry + 0.25 * centering + hinge * 2)(SCORES, ONE_PAIR)
    parts = [bradley_terry(SCORES, ONE_PAIR), centering(SCORES, ONE_PAIR), hinge(SCORES, ONE_PAIR)]
    assert float(cost) == pytest.approx(float(parts[0] + 0.25 * parts[1] + 2 * parts[2]))


def test_terms_are_averaged_over_their_own_items():
    two_pairs = Pairs(chosen=[0, 0], rejected=[1, 2])
    cost = (hinge + score_decay)(SCORES, two_pairs)
    assert float(cost) == pytest.approx((0 + 0) / 2 + (2.0**2 + 0.5**2 + 1.0**2) / 3)


def test_each_term_reads_its_own_kind_of_feedback():
    both = Mixed((ONE_PAIR, Steps(steps=[2], values=[1.0])))
    cost = (hinge + 0.5 * segment_hinge)(SCORES, both)
    assert float(cost) == 0 + 0.5 * (1 - -1.0)


def test_a_term_without_items_in_this_batch_costs_nothing():
    only_pairs = Mixed((ONE_PAIR, Steps(steps=[], values=[])))
    scores = SCORES.clone().requires_grad_()
    cost = (bradley_terry + segment_hinge)(scores, only_pairs)
    cost.backward()
    assert cost == bradley_terry(SCORES, ONE_PAIR)
    assert scores.grad[2] == 0


def test_brackets_and_nested_sums_are_flattened():
    left = (bradley_terry + centering) + score_decay
    assert left == bradley_terry + (centering + score_decay)
    assert [str(part) for part in left.parts] == ["bradley_terry", "centering", "score_decay"]


def test_a_weight_reaches_every_term_of_a_sum():
    assert 2 * (bradley_terry + 0.5 * centering) == 2 * bradley_terry + centering


def test_weights_multiply():
    assert 2 * (0.5 * bradley_terry) == bradley_terry
    assert 3 * (0.5 * bradley_terry) == 1.5 * bradley_terry


def test_the_weight_may_stand_on_either_side():
    assert 0.5 * centering == centering * 0.5


def test_weight_one_is_the_loss_itself():
    assert 1 * bradley_terry == bradley_terry


def test_weight_zero_stays_visible():
    assert str(bradley_terry + 0 * centering) == "bradley_terry + 0 * centering"


@pytest.mark.parametrize("weight", [-1, -1e-9, float("nan"), float("inf"), -float("inf"), True])
def test_a_weight_that_would_reward_mistakes_is_refused(weight):
    with pytest.raises(InvalidLossError, match=r"write a number from 0, like 0.01 \* centering"):
        weight * centering


def test_weights_that_multiply_to_infinity_are_refused():
    with pytest.raises(InvalidLossError, match="endless weight"):
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


def test_a_named_sum_has_the_terms_of_the_sum_it_stands_for():
    named = CenteredBradleyTerry(coefficient=0.25)
    assert named.terms == (bradley_terry + 0.25 * centering).terms
    assert named(SCORES, ONE_PAIR) == (bradley_terry + 0.25 * centering)(SCORES, ONE_PAIR)


def test_a_named_sum_keeps_its_name_in_a_sum():
    loss = hinge + 2 * centered_bradley_terry
    assert str(loss) == "hinge + 2 * centered_bradley_terry"
    assert loss.terms == (Term(1, hinge), Term(2, bradley_terry), Term(0.02, centering))


def test_a_sum_has_no_items_of_its_own():
    for loss in (bradley_terry + centering, centered_bradley_terry):
        with pytest.raises(TypeError, match=r"Price each: \[term.loss.price"):
            loss.forward(SCORES, ONE_PAIR)


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


def test_label_smoothing_gives_up_the_claims_to_be_monotone_and_proper():
    smoothed = BradleyTerry(label_smoothing=0.1)
    assert smoothed.properties == BradleyTerry.properties & ~(LossProperty.MONOTONE | LossProperty.PROPER)
    assert replace(smoothed, label_smoothing=0.0).properties == BradleyTerry.properties
    far_ahead = torch.tensor([20.0, 0.0])
    assert smoothed(far_ahead, ONE_PAIR) > smoothed(far_ahead / 2, ONE_PAIR)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: BradleyTerry(label_smoothing=0.5), "from 0 to below 0.5"),
        (lambda: BradleyTerry(label_smoothing=-0.1), "from 0 to below 0.5"),
        (lambda: BradleyTerry(label_smoothing=float("nan")), "a finite number"),
        (lambda: BradleyTerry(label_smoothing="much"), "a finite number"),
        (lambda: BradleyTerry(label_smoothing=True), "a finite number"),
        (lambda: BradleyTerry(temperature=0.0), "temperature=0.0"),
        (lambda: BradleyTerry(temperature=float("inf")), "a finite number"),
        (lambda: Hinge(margin=-1.0), "from 0"),
        (lambda: CenteredBradleyTerry(coefficient=-0.01), "from 0"),
    ],
)
def test_options_out_of_range_are_refused_with_an_example(make, told):
    with pytest.raises(InvalidLossError, match=told) as caught:
        make()
    assert "write for example" in str(caught.value)


def test_a_loss_goes_down_to_the_feedback_that_it_reads():
    ratings = Ratings(candidates=[0, 1], ratings=[5.0, 3.0], sizes=[2])
    assert bradley_terry(SCORES, ratings) == bradley_terry(SCORES, ONE_PAIR)
    assert plackett_luce(SCORES, ratings) == plackett_luce(SCORES, ratings.to_rankings())


@pytest.mark.parametrize(
    "loss", [plackett_luce, accumulated_pairs, squared_error, cross_entropy, segment_rating], ids=str
)
def test_a_loss_never_goes_up_from_pairs(loss):
    with pytest.raises(FeedbackMismatchError):
        loss(SCORES, ONE_PAIR)


@pytest.mark.parametrize(
    ("loss", "feedback", "told"),
    [
        (cross_entropy, Labels(candidates=[0], labels=[1.5]), "outside 0 to 1"),
        (cross_entropy, Labels(candidates=[0], labels=[-1.0]), "outside 0 to 1"),
        (segment_hinge, Steps(steps=[0], values=[0.7]), "take squared_error .* or segment_rating"),
        (segment_hinge, Steps(steps=[0, 1], values=[-1.0, 0.0]), "both -1 and 0"),
        (bradley_terry + segment_hinge, Mixed((ONE_PAIR, Steps(steps=[0], values=[0.7]))), "segment_rating"),
    ],
)
def test_labels_outside_the_domain_of_a_loss_are_refused(loss, feedback, told):
    with pytest.raises(InvalidFeedbackError, match=told):
        loss.check(feedback)


def test_labels_within_the_domain_of_a_loss_are_accepted():
    labels = Labels(candidates=[0, 1], labels=[1.0, 0.0])
    steps = Steps(steps=[0, 1], values=[1.0, -1.0])
    for loss, feedback in ((cross_entropy, labels), (segment_hinge, steps), (bradley_terry, ONE_PAIR)):
        assert loss.check(feedback) is None
    (bradley_terry + segment_hinge).check(Mixed((ONE_PAIR, steps)))


def test_a_loss_that_averages_is_refused():
    class Mean(PairwiseLoss):
        """Returns one number for all pairs."""

        def per_pair(self, score_difference):
            return score_difference.mean(0, keepdim=True)

    with pytest.raises(PluginError, match="one number per item"):
        Mean().per_item_loss(SCORES, Pairs(chosen=[0, 0], rejected=[1, 2]))


def test_scores_in_bfloat16_are_priced_in_float32():
    assert bradley_terry.per_item_loss(SCORES.bfloat16(), ONE_PAIR).dtype == torch.float32
    assert bradley_terry(SCORES.bfloat16(), ONE_PAIR).dtype == torch.float32
    assert bradley_terry.per_item_loss(SCORES.double(), ONE_PAIR).dtype == torch.float64


def test_a_sum_of_one_loss_is_written_like_that_loss():
    assert str(WeightedSum.of(bradley_terry)) == "bradley_terry"


def test_rankings_reach_pairwise_terms_of_a_mixed_loss():
    rankings = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3])
    cost = (plackett_luce + 0.01 * centering)(SCORES, rankings)
    pairs = [(2.0 + 0.5) ** 2, (2.0 - 1.0) ** 2, (0.5 - 1.0) ** 2]
    assert float(cost) == pytest.approx(float(plackett_luce(SCORES, rankings)) + 0.01 * sum(pairs) / 3)


def test_a_sum_claims_what_all_its_terms_claim_and_a_sum_keeps():
    lost = LossProperty.PROPER | LossProperty.HOMOGENEOUS
    assert (
        bradley_terry + 0.5 * plackett_luce
    ).properties == bradley_terry.properties & plackett_luce.properties & ~lost
    assert (squared_error + 0.1 * score_decay).properties == squared_error.properties & ~lost
    assert (2 * bradley_terry).properties == bradley_terry.properties & ~lost
    assert LossProperty.SHIFT_INVARIANT not in (bradley_terry + 0.01 * centering).properties


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
def test_what_a_sum_claims_is_true_of_it(loss):
    assert loss.properties
    for claim in loss.properties:
        CLAIM_RULES[claim](loss)


def test_check_loss_tests_the_claims_of_a_sum():
    lying = bradley_terry + 0.01 * centering
    object.__setattr__(lying, "properties", LossProperty.SHIFT_INVARIANT)
    with pytest.raises(AssertionError, match="Drop SHIFT_INVARIANT from properties"):
        check_loss(lying)


@pytest.mark.parametrize(
    ("loss", "claim"),
    [
        (2 * bradley_terry, LossProperty.PROPER),
        (bradley_terry + thurstone, LossProperty.PROPER),
        (Hinge(margin=0.0) + score_decay, LossProperty.HOMOGENEOUS),
    ],
    ids=str,
)
def test_what_a_sum_loses_is_not_true_of_it(loss, claim):
    assert all(claim in term.loss.properties for term in loss.terms)
    with pytest.raises(AssertionError, match="from properties"):
        CLAIM_RULES[claim](loss)


@pytest.mark.parametrize("loss", [eurus, centered_bradley_terry], ids=str)
def test_a_named_sum_claims_what_it_stands_for_claims(loss):
    assert loss.properties == loss.expand().properties


@pytest.mark.parametrize(
    "loss", [Hinge(margin=0.0), Hinge(margin=0.0, power=2.0), SquaredDifference(target=0.0)], ids=str
)
def test_without_a_distance_of_its_own_a_loss_is_homogeneous(loss):
    assert LossProperty.HOMOGENEOUS in loss.properties
    assert LossProperty.HOMOGENEOUS not in type(loss)().properties
    for one in (loss, Aggregated(of=loss), Aggregated(of=loss, by="minimum")):
        CLAIM_RULES[LossProperty.HOMOGENEOUS](one)
        assert LossProperty.HOMOGENEOUS in one.properties
    assert LossProperty.HOMOGENEOUS not in Aggregated(of=loss, by="soft_minimum").properties
