"""Bradley–Terry loss for pairs."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.losses.families import PairwiseLoss
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import (
    CONVEX,
    MONOTONE,
    NON_NEGATIVE,
    PROPER,
    REVERSIBLE,
    SHIFT_INVARIANT,
    LossProperty,
)
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class BradleyTerry(PairwiseLoss):
    r"""Negative log-likelihood that the chosen answer wins.

    $$-\log \sigma\left(\frac{s_\text{chosen} - s_\text{rejected} - m}{T}\right)$$

    This is the standard loss of reward models; use it for pairs unless there is a reason for another loss. It
    determines scores only up to a constant; add `centering` if the zero of the scores matters. For pairs with ties use
    `rao_kupper` or `davidson`, for lists of more than two answers `plackett_luce`.

    Feedback:
        Pairs. The margin $m$ is subtracted from the score difference. A preference $p$ gives the mean of both outcomes,
        weighted by $p$ and $1 - p$; a tie counts as $p = 0.5$. The weight multiplies the loss of the pair.

    Args:
        label_smoothing: assumed probability that the labels of a pair are swapped, in [0, 0.5). With label smoothing
            the loss is neither monotone nor a normalized likelihood.
        temperature: score difference at which the odds of the chosen answer are e to 1, in score units; at least 1e-6.

    References:
        Bradley & Terry (1952), https://doi.org/10.2307/2334029;
        margin: Touvron et al. (2023), Llama 2, https://arxiv.org/abs/2307.09288

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> BradleyTerry()(torch.tensor([1.0, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.3133)
    """

    label_smoothing: float = number(0.0, 0.0, 0.5, exclude_high=True)
    temperature: float = number(1.0, SMALLEST)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    def active_properties(self) -> LossProperty:
        return self.properties & ~(MONOTONE | PROPER) if self.label_smoothing else self.properties

    def per_pair(self, score_difference: PerPair) -> PerPair:
        logits = score_difference / self.temperature
        return -(1 - self.label_smoothing) * logsigmoid(logits) - self.label_smoothing * logsigmoid(-logits)


bradley_terry = BradleyTerry()
