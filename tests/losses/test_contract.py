"""Every loss of the loss_registry keeps the contract; a new loss is tested by being there."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.feedback import FEEDBACK_TYPES, Feedback
from rlhf_losses.hooks import loss_registry
from rlhf_losses.hooks.manager import BUILT_IN
from rlhf_losses.losses import Hinge, LossProperty
from rlhf_losses.testing import check_loss
from rlhf_losses.testing.property_rules import CLAIM_RULES
from rlhf_losses.testing.strategies import scores_with

ENTRIES = list(loss_registry().entries.values())
LOSSES = [entry.loss() for entry in ENTRIES]
BUILT_IN_LOSSES = [entry.loss() for entry in ENTRIES if entry.plugin == BUILT_IN]


WEIGHTS = "helpfulness=0.7, verbosity=-0.2, correctness=0"


def another(loss, option):
    """Return a value of an option that is not its default."""
    default = getattr(loss, option)
    domain = next(field.metadata.get("domain") for field in fields(loss) if field.name == option)
    words = [word for word in getattr(domain, "words", ()) if word != default]
    numbers = [1.5 * default + 0.125, 1.5 * default] if isinstance(default, int | float) else [0.6, Hinge(margin=2.0)]
    return next(value for value in [*numbers, *words, 2, WEIGHTS] if domain is None or domain.admits(value))


OPTIONS = [(loss, field.name) for loss in LOSSES for field in fields(loss)]

# A loss with each kind of feedback that it can price; a regularizer prices all of them.
READINGS = [
    (loss, kind)
    for loss in LOSSES
    for kind in FEEDBACK_TYPES
    if loss.feedback_type is Feedback or kind.is_convertible_to(loss.feedback_type)
]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_every_loss_keeps_the_contract(loss):
    check_loss(loss)


@pytest.mark.parametrize(("loss", "option"), OPTIONS, ids=str)
def test_every_loss_keeps_the_contract_with_another_option(loss, option):
    other = replace(loss, **{option: another(loss, option)})
    assert other != loss
    check_loss(other)


@pytest.mark.parametrize("loss", BUILT_IN_LOSSES, ids=str)
def test_what_a_built_in_loss_does_not_claim_is_not_true_of_it(loss):
    for claim in LossProperty:
        if claim not in loss.properties:
            with pytest.raises(AssertionError, match="from properties"):
                CLAIM_RULES[claim](loss)


@pytest.mark.parametrize(("loss", "kind"), READINGS, ids=str)
@given(data=st.data())
def test_any_feedback_has_one_finite_cost_an_item_and_a_finite_gradient(loss, kind, data):
    scores, feedback = data.draw(scores_with(kind))
    scores = scores.requires_grad_()
    for term in loss.terms:
        items = term.loss.per_item_loss(scores, feedback)
        assert items.shape == term.loss.item_positions(scores, feedback.convert_to(term.loss.feedback_type)).shape
        assert torch.isfinite(items).all()
    (gradient,) = torch.autograd.grad(loss(scores, feedback), scores, materialize_grads=True)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(("loss", "kind"), READINGS, ids=str)
@given(data=st.data())
def test_a_loss_in_bfloat16_is_the_loss_of_the_same_scores_in_float32(loss, kind, data):
    scores, feedback = data.draw(scores_with(kind))
    coarse = scores.bfloat16()
    assert loss(coarse, feedback).equal(loss(coarse.float(), feedback))
