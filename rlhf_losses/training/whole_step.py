"""The means over a whole optimizer step that batch-wide losses are priced at."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from rlhf_losses.data import ForwardPass
from rlhf_losses.losses import BatchLoss, Loss
from rlhf_losses.losses.reduction import AverageOver
from rlhf_losses.shapes import Scores
from rlhf_losses.training.terms import weigh

Means = Sequence[Mapping[str, Tensor]]
"""For each term of a loss its `means` by that name, or nothing where it prices each item by itself."""


def is_batchwide(loss: Loss) -> bool:
    """Tell whether a term of the loss looks at all scores of an optimizer step together."""
    return any(isinstance(term.loss, BatchLoss) for term in loss.terms)


@torch.no_grad()
def measure(
    loss: Loss,
    passes: Sequence[ForwardPass],
    scores: Sequence[Scores],
    totals: Tensor,
    over: AverageOver,
    everywhere: Callable[[Tensor], Tensor] = lambda sums: sums,
) -> Means:
    r"""Return the weighted means :math:`\sum_i w_i m_i / \text{total}` of the moments of each batch-wide term.

    Args:
        passes: the forward passes of this process.
        scores: those of each pass.
        totals: the weights of each term, summed over the step.
        everywhere: adds a tensor up over the processes of the step.
    """
    means: list[dict[str, Tensor]] = [{} for _ in loss.terms]
    for number, term in enumerate(loss.terms):
        if isinstance(term.loss, BatchLoss):
            sums = [
                weigh(loss, one, over)[number].double()
                @ term.loss.moments(seen.float(), one["feedback"].convert_to(term.loss.feedback_type))
                for one, seen in zip(passes, scores, strict=True)
            ]
            means[number] = {"means": everywhere(torch.stack(sums).sum(dim=0)) / totals[number].clamp(min=1e-12)}
    return means
