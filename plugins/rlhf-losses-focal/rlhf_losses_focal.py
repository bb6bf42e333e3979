"""Focal loss for pairs."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from rlhf_losses import Loss, LossProperty, PairwiseLoss, hookimpl, options


@dataclass(frozen=True)
class Focal(PairwiseLoss):
    r"""Focal loss: the Bradley–Terry loss with a weight that decreases with the probability of the correct order.

    $$-\big(1 - \sigma(\Delta)\big)^\gamma \log \sigma(\Delta),
    \qquad \Delta = s_\text{chosen} - s_\text{rejected} - m$$

    Use it to focus the gradient on pairs in the wrong order. `focal_bradley_terry` gives pairs in the wrong order their
    full weight; this loss reduces the weight of all pairs, as in object detection.

    Feedback:
        Pairs. The margin $m$ is subtracted from the score difference; preferences, ties and weights apply as in
        `bradley_terry`.

    Args:
        focus: exponent $\gamma$; at least 0. 0 gives `bradley_terry`.

    References:
        Lin et al. (2017), https://arxiv.org/abs/1708.02002

    Examples:
        >>> import torch
        >>> from rlhf_losses import Pairs
        >>> Focal()(torch.tensor([1.0, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.0227)
    """

    focus: float = options.number(2.0, 0.0)

    properties = LossProperty.SHIFT_INVARIANT | LossProperty.MONOTONE | LossProperty.NON_NEGATIVE

    def per_pair(self, score_difference: Tensor) -> Tensor:
        """Return the loss value of each pair."""
        # In log space the power has a finite gradient at 0.
        weight = (self.focus * logsigmoid(-score_difference)).exp()
        return -weight * logsigmoid(score_difference)


@hookimpl
def provide_losses() -> list[type[Loss]]:
    """Return the focal loss."""
    return [Focal]
