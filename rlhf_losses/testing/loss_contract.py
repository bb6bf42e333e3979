"""The contract of a loss, rule by rule. `check_loss(Focal())` is all that a plugin's test needs."""

from typing import Any

from rlhf_losses.losses import BatchLoss, Loss
from rlhf_losses.testing.property_rules import CLAIM_RULES
from rlhf_losses.testing.rules import BATCHWIDE_RULES, FORM_RULES, GRADIENT_RULES, ITEM_RULES, Rule
from rlhf_losses.testing.trials import is_sum


def check_loss(loss: Loss) -> None:
    """Raise `AssertionError`, with the loss, the rule and what was seen, unless `loss` keeps the contract.

    A sum of losses is checked term by term and then as a whole. What a loss claims of itself is checked
    too, on the options that it is given with.

    >>> from rlhf_losses.losses import bradley_terry, centering
    >>> check_loss(bradley_terry + 0.01 * centering)
    """
    for rule in FORM_RULES:
        _follow(rule, loss)
    if is_sum(loss):
        for term in loss.terms:
            check_loss(term.loss)
    else:
        for rule in BATCHWIDE_RULES if isinstance(loss, BatchLoss) else ITEM_RULES:
            _follow(rule, loss)
    for rule in [*GRADIENT_RULES, *(CLAIM_RULES[claim] for claim in loss.properties)]:
        _follow(rule, loss)


def _follow(rule: Rule, loss: Any) -> None:
    try:
        rule(loss)
    except Exception as error:
        kind = loss if isinstance(loss, type) else type(loss)
        seen = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        raise AssertionError(f"{kind.__name__} breaks a rule. {rule.__doc__}\n{seen}") from error
