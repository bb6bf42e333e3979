"""Indifference: a loss that costs the same whatever people said teaches no model which text is better."""

import torch

from rlhf_losses.feedback import ALWAYS_THERE, Pairs
from rlhf_losses.losses.base import Loss

_EVERYTHING = {"margin": 1.0, "weight": 1.0, "preference": 1.0, "tie": 0.0}


def only_regularizes(loss: Loss) -> bool:
    """Tell whether what people said changes nothing about the cost.

    >>> from rlhf_losses.losses import bradley_terry, centering, score_decay
    >>> [only_regularizes(loss) for loss in (centering, centering + score_decay, bradley_terry + centering)]
    [True, True, False]
    """
    return all(term.weight == 0 or _is_indifferent(term.loss) for term in loss.terms)


def _is_indifferent(loss: Loss) -> bool:
    """Tell whether a term asks for no feedback, or for pairs and not for which of the two was chosen."""
    if loss.reads is not Pairs:
        return loss.reads in ALWAYS_THERE
    scores, first, second = torch.tensor([1.0, -2.0]), torch.tensor([0]), torch.tensor([1])
    # Everything that a pair may hold is there, for losses that price no pair without it.
    given = {name: torch.tensor([value]) for name, value in _EVERYTHING.items()}
    said, opposite = Pairs(first, second, **given), Pairs(second, first, **given)
    return torch.equal(loss.price(scores, said), loss.price(scores, opposite))
