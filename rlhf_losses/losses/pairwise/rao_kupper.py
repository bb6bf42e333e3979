"""Rao–Kupper: of two answers whose scores are close, neither is seen to be better."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rlhf_losses.losses.base import TieLoss
from rlhf_losses.losses.options import LEARNED, SMALLEST, learnable
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class RaoKupper(TieLoss):
    r"""Negative log-likelihood of a win, a tie or a defeat, where a win needs a score_difference beyond a width.

    .. math:: -\log \sigma(\Delta - w) \text{ for a win,} \quad
        -\log\big(\sigma(\Delta + w) - \sigma(\Delta - w)\big) \text{ for a tie,} \qquad
        \Delta = s_\text{chosen} - s_\text{rejected} - m

    Feedback:
        Pairs with ties: `tie`, or a `preference` of 0.5. Votes, with the shares of annotators who saw each outcome.
        `margin` :math:`m` and `weight` as for `bradley_terry`.
    Options:
        `tie_width` :math:`w` > 0, in score units: between equals a tie has the probability
        :math:`\tanh(w / 2)`. 'learned' starts from 1 and is trained beside the model.
    Relations:
        `bradley_terry` without ties and with :math:`w` near 0. `davidson` gives ties longer tails.
    Reference:
        Rao & Kupper (1967), https://doi.org/10.1080/01621459.1967.10482901
    Example:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> RaoKupper()(torch.tensor([2.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.6931)
    """

    tie_width: float | str = learnable(SMALLEST)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        return {"log_tie_width": (0.0,)} if self.tie_width == LEARNED else {}

    def per_outcome(
        self, score_difference: PerPair, log_tie_width: Tensor | None = None
    ) -> tuple[PerPair, PerPair, PerPair]:  # type: ignore[override]
        width = score_difference.new_tensor(self.tie_width) if log_tie_width is None else log_tie_width.exp()
        win, defeat = -logsigmoid(score_difference - width), -logsigmoid(-score_difference - width)
        # The difference of the two sigmoids is their product times e^(2 width) - 1: nothing cancels.
        return win, win + defeat - 2 * width - torch.log(-torch.expm1(-2 * width)), defeat


rao_kupper = RaoKupper()
