"""`check_loss`: the contract of a loss, rule by rule."""

from functools import cache
from typing import Any

from rlhf_losses.losses import AnyLoss, BatchLoss, Loss
from rlhf_losses.testing.loss_rules import BATCH_RULES, DECLARATION_RULES, FORM_RULES, GRADIENT_RULES, ITEM_RULES
from rlhf_losses.testing.property_rules import PROPERTY_RULES
from rlhf_losses.testing.rule_helpers import check_rules


def check_loss(loss: AnyLoss) -> None:
    """Check that a loss keeps its contract, including the properties that it declares.

    An objective is checked term by term and then as a whole.

    Args:
        loss: an instance with the options to check.

    Raises:
        AssertionError: the loss breaks a rule; the message names the loss, the rule, the observation and a remedy.

    Examples:
        >>> from rlhf_losses.losses import bradley_terry
        >>> check_loss(bradley_terry)
    """
    check_rules(FORM_RULES, loss)
    if isinstance(loss, Loss):
        check_rules(BATCH_RULES if isinstance(loss, BatchLoss) else ITEM_RULES, loss)
    else:
        for term in loss.terms:
            _check_term(term.loss)
    properties = [PROPERTY_RULES[one] for one in loss.active_properties()]
    check_rules([*GRADIENT_RULES, *DECLARATION_RULES, *properties], loss)


@cache
def _check_term(loss: Loss[Any]) -> None:
    """Check a term, once per process: terms that several objectives share are equal objects."""
    check_loss(loss)
