"""Indifference: a loss that costs the same whatever people said teaches no model which text is better."""

import torch
from torch import Tensor

from rlhf_losses.feedback import IMPLICIT_TYPES, Pairs
from rlhf_losses.losses.base import Loss

_SAID = {"margin": 1.0, "weight": 1.0, "preference": 1.0, "tie": 0.0}
"""Everything that a pair may hold, for losses that price no pair without it."""
_INSTEAD = ({**_SAID, "margin": 2.0}, {**_SAID, "preference": 0.5, "tie": 1.0})
"""What could have been said instead; the weight is how much it counts."""


def is_regularizer(loss: Loss) -> bool:
    """Tell whether what people said changes nothing about the cost.

    >>> from rlhf_losses.losses import bradley_terry, centering, score_decay
    >>> [is_regularizer(loss) for loss in (centering, centering + score_decay, bradley_terry + centering)]
    [True, True, False]
    """
    return all(term.weight == 0 or _is_indifferent(term.loss) for term in loss.terms)


def _is_indifferent(loss: Loss) -> bool:
    """Tell whether a term asks for no feedback, or for pairs and for nothing that is said of them."""
    if loss.feedback_type is not Pairs:
        return loss.feedback_type in IMPLICIT_TYPES
    cost, opposite = _cost(loss, 0, 1, _SAID), _cost(loss, 1, 0, _SAID)
    return torch.equal(cost, opposite) and all(torch.equal(cost, _cost(loss, 0, 1, other)) for other in _INSTEAD)


def _cost(loss: Loss, chosen: int, rejected: int, said: dict[str, float]) -> Tensor:
    """Return what a pair costs of which this is said."""
    given = {name: torch.tensor([value]) for name, value in said.items()}
    return loss.per_item_loss(
        torch.tensor([1.0, -2.0]), Pairs(torch.tensor([chosen]), torch.tensor([rejected]), **given)
    )
