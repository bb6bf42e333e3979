"""Spend the gradient on pairs that the model still gets wrong."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from rlhf_losses import Loss, LossProperty, PairwiseLoss, hookimpl, options


@dataclass(frozen=True)
class Focal(PairwiseLoss):
    r"""Bradley–Terry, scaled down where the model is sure and right.

    .. math:: -\big(1 - \sigma(s_\text{chosen} - s_\text{rejected} - m)\big)^\gamma
        \log \sigma(s_\text{chosen} - s_\text{rejected} - m)

    Feedback:
        Pairs, with `margin` :math:`m`, `preference` and `weight` as for `bradley_terry`.
    Options:
        `focus` :math:`\gamma` ≥ 0: how fast a pair stops counting once it is ranked right.
    Relations:
        `bradley_terry` at focus 0. `focal_bradley_terry` counts pairs that are ranked wrong in full.
    Reference:
        Lin et al. (2017), https://arxiv.org/abs/1708.02002
    Example:
        >>> import torch
        >>> from rlhf_losses import Pairs
        >>> Focal()(torch.tensor([1.0, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.0227)
    """

    focus: float = options.number(2.0, 0.0)

    properties = LossProperty.SHIFT_INVARIANT | LossProperty.MONOTONE | LossProperty.NON_NEGATIVE

    def per_pair(self, score_difference: Tensor) -> Tensor:
        # The power of a probability is the exponential of its logarithm: 0 ** 0.5 would have no gradient.
        doubt = (self.focus * logsigmoid(-score_difference)).exp()
        return -doubt * logsigmoid(score_difference)


@hookimpl
def provide_losses() -> list[type[Loss]]:
    """Return the focal loss."""
    return [Focal]
