"""Bradley–Terry: the chosen answer wins with probability sigmoid(score_difference)."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.losses.base import PairwiseLoss
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class BradleyTerry(PairwiseLoss):
    r"""Negative log-likelihood that the chosen answer beats the rejected one.

    .. math:: -\log \sigma\left(\frac{s_\text{chosen} - s_\text{rejected} - m}{T}\right)

    Feedback:
        Pairs. `margin` :math:`m` is the score_difference a pair demands, `preference` the probability that the chosen
        answer is the better one, `weight` a factor on the pair's cost.
    Options:
        `label_smoothing` :math:`\varepsilon` in [0, 0.5): the share of pairs taken to be the wrong way round.
        `temperature` :math:`T` > 0: the score_difference, in score units, that makes odds of e to 1.
    Relations:
        `plackett_luce` on two candidates. Says nothing about the zero of the scale: add `centering` for that.
    Reference:
        Bradley & Terry (1952), https://doi.org/10.2307/2334029;
        margin: Touvron et al. (2023), https://arxiv.org/abs/2307.09288
    Example:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> BradleyTerry()(torch.tensor([1.0, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.3133)
    """

    label_smoothing: float = number(0.0, 0.0, 0.5, below=True)
    temperature: float = number(1.0, SMALLEST)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label_smoothing:
            # What may be the wrong way round can also be won by too much, and smoothed costs are of no probability.
            object.__setattr__(self, "properties", self.properties & ~(MONOTONE | PROPER))

    def per_pair(self, score_difference: PerPair) -> PerPair:
        score_difference = score_difference / self.temperature
        agree, disagree = -logsigmoid(score_difference), -logsigmoid(-score_difference)
        return (1 - self.label_smoothing) * agree + self.label_smoothing * disagree


bradley_terry = BradleyTerry()
