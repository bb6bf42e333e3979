"""Every registered loss, built-in or from a plugin, keeps the contract."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough_cases import every_nth

from rlhf_losses.feedback import FEEDBACK_TYPES, Feedback
from rlhf_losses.hooks import loss_registry
from rlhf_losses.hooks.installed_plugins import BUILT_IN
from rlhf_losses.losses import Hinge, LossProperty
from rlhf_losses.testing import check_loss
from rlhf_losses.testing.property_rules import PROPERTY_RULES
from rlhf_losses.testing.strategies import scores_with

ENTRIES = list(loss_registry().entries.values())
LOSSES = [entry.cls() for entry in ENTRIES]
BUILT_IN_LOSSES = [entry.cls() for entry in ENTRIES if entry.plugin == BUILT_IN]

WEIGHTS = "helpfulness=0.7, verbosity=-0.2, correctness=0"


def another(loss, option):
    """Return a value of an option that is not its default."""
    default = getattr(loss, option)
    domain = next(field.metadata.get("domain") for field in fields(loss) if field.name == option)
    choices = [one for one in getattr(domain, "choices", ()) if one != default]
    numbers = [1.5 * default + 0.125, 1.5 * default] if isinstance(default, int | float) else [0.6, Hinge(margin=2.0)]
    return next(value for value in [*numbers, *choices, 2, WEIGHTS] if domain is None or domain.accepts(value))


OPTIONS = [(loss, field.name) for loss in LOSSES for field in fields(loss)]

# Each loss with every feedback type that it accepts; a regularizer accepts all of them.
ACCEPTED = [
    (loss, feedback_type)
    for loss in LOSSES
    for feedback_type in FEEDBACK_TYPES
    if loss.feedback_type is Feedback or feedback_type.is_convertible_to(loss.feedback_type)
]


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_every_loss_keeps_the_contract(loss):
    check_loss(loss)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(("loss", "option"), every_nth(OPTIONS, 4), ids=str)
def test_every_loss_keeps_the_contract_with_another_option(loss, option):
    other = replace(loss, **{option: another(loss, option)})
    assert other != loss
    check_loss(other)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("loss", BUILT_IN_LOSSES, ids=str)
def test_a_property_that_a_built_in_loss_does_not_declare_is_false(loss):
    for one in LossProperty:
        if one not in loss.active_properties():
            with pytest.raises(AssertionError, match="from properties"):
                PROPERTY_RULES[one](loss)


@pytest.mark.parametrize(("loss", "feedback_type"), ACCEPTED, ids=str)
@given(data=st.data())
def test_any_feedback_has_one_finite_value_per_item_and_a_finite_gradient(loss, feedback_type, data):
    scores, feedback = data.draw(scores_with(feedback_type))
    scores = scores.requires_grad_()
    for term in loss.as_objective().terms:
        values = term.loss.per_item_loss(scores, feedback)
        assert values.shape == term.loss.item_positions(scores, feedback.convert_to(term.loss.feedback_type)).shape
        assert torch.isfinite(values).all()
    (gradient,) = torch.autograd.grad(loss(scores, feedback), scores, materialize_grads=True)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(("loss", "feedback_type"), ACCEPTED, ids=str)
@settings(max_examples=5)
@given(data=st.data())
def test_bfloat16_scores_have_the_loss_of_the_same_scores_in_float32(loss, feedback_type, data):
    scores, feedback = data.draw(scores_with(feedback_type))
    coarse = scores.bfloat16()
    assert loss(coarse, feedback).equal(loss(coarse.float(), feedback))
