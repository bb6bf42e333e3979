"""Davidson loss for pairs with ties."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rlhf_losses.losses.base import Parameters
from rlhf_losses.losses.families import TieLoss
from rlhf_losses.losses.options import LEARNED, SMALLEST, learnable_number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class Davidson(TieLoss):
    r"""Negative log-likelihood with odds for ties.

    $$\begin{aligned}
    \text{win: } & \log\big(e^{\Delta / 2} + \kappa + e^{-\Delta / 2}\big) - \tfrac{\Delta}{2} \\
    \text{tie: } & \log\big(e^{\Delta / 2} + \kappa + e^{-\Delta / 2}\big) - \log \kappa
    \end{aligned} \qquad \Delta = s_\text{chosen} - s_\text{rejected} - m$$

    The strength of a tie is proportional to the geometric mean of the strengths of both answers.

    Use it if annotators could declare a tie. The probability of a tie decreases more slowly with the score difference
    than in `rao_kupper`. Without ties and with $\kappa$ near 0 the loss is `bradley_terry`.

    Feedback:
        Pairs. The outcomes have the probabilities of `Pairs.outcomes`: a `tie` is the probability of a tie,
        and a preference of exactly 0.5 without `tie` is a tie. The margin $m$ is subtracted from the score difference.
        The weight multiplies the loss of the pair.

    Args:
        tie_odds: odds $\kappa$ of a tie against a win of one answer at equal scores, at least 1e-6; or 'learned', a
            trainable parameter with the initial value 1.

    References:
        Davidson (1970), https://doi.org/10.1080/01621459.1970.10481082

    Examples:
        >>> from rlhf_losses.feedback import Pairs
        >>> Davidson()(torch.tensor([1.0, 1.0]), Pairs(chosen=[0], rejected=[1], tie=[1.0]))
        tensor(1.0986)
    """

    tie_odds: float | str = learnable_number(SMALLEST)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        return {"log_tie_odds": (0.0,)} if self.tie_odds == LEARNED else {}

    def per_outcome(self, score_difference: PerPair, parameters: Parameters) -> tuple[PerPair, PerPair, PerPair]:
        half = score_difference / 2
        learned = parameters.get("log_tie_odds")
        tie = half.new_tensor(self.tie_odds).log() if learned is None else learned
        # Each value is relative to the observed outcome, so that no difference of large scores is rounded.
        win, even, defeat = (
            torch.stack([torch.zeros_like(score_difference), *others]).logsumexp(dim=0)
            for others in ((tie - half, -score_difference), (half - tie, -half - tie), (tie + half, score_difference))
        )
        return win, even, defeat


davidson = Davidson()
