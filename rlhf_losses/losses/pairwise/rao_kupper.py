"""Rao–Kupper loss for pairs with ties."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

from rlhf_losses.losses.base import Parameters
from rlhf_losses.losses.families import TieLoss
from rlhf_losses.losses.options import LEARNED, SMALLEST, learnable_number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class RaoKupper(TieLoss):
    r"""Negative log-likelihood with ties within a width.

    $$\begin{aligned}
    \text{win: } & -\log \sigma(\Delta - w) \\
    \text{tie: } & -\log\big(\sigma(\Delta + w) - \sigma(\Delta - w)\big)
    \end{aligned} \qquad \Delta = s_\text{chosen} - s_\text{rejected} - m$$

    A tie is a noisy score difference within the width $w$.

    Use it if annotators could declare a tie. The probability of a tie decreases faster with the score difference than
    in `davidson`. Without ties and with $w$ near 0 the loss is `bradley_terry`.

    Feedback:
        Pairs. The outcomes have the probabilities of `Pairs.outcomes`: a `tie` is the probability of a tie,
        and a preference of exactly 0.5 without `tie` is a tie. The margin $m$ is subtracted from the score difference.
        The weight multiplies the loss of the pair.

    Args:
        tie_width: width $w$ in score units, at least 1e-6; at equal scores a tie has the probability $\tanh(w / 2)$. Or
            'learned', a trainable parameter with the initial value 1.

    References:
        Rao & Kupper (1967), https://doi.org/10.1080/01621459.1967.10482901

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> RaoKupper()(torch.tensor([2.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.6931)
    """

    tie_width: float | str = learnable_number(SMALLEST)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        return {"log_tie_width": (0.0,)} if self.tie_width == LEARNED else {}

    def per_outcome(self, score_difference: PerPair, parameters: Parameters) -> tuple[PerPair, PerPair, PerPair]:
        learned = parameters.get("log_tie_width")
        width = score_difference.new_tensor(self.tie_width) if learned is None else learned.exp()
        win, defeat = -logsigmoid(score_difference - width), -logsigmoid(-score_difference - width)
        # The difference of the two sigmoids is their product times (e^(2 width) - 1), which has no cancellation.
        return win, win + defeat - 2 * width - torch.log(-torch.expm1(-2 * width)), defeat


rao_kupper = RaoKupper()
