"""Davidson: a tie is a third outcome, likeliest between equals."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses.losses.base import TieLoss
from rlhf_losses.losses.options import LEARNED, SMALLEST, learnable
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class Davidson(TieLoss):
    r"""Negative log-likelihood of a win, a tie or a defeat, where a tie goes by the mean of the two scores.

    .. math:: \log\big(e^{\Delta / 2} + \kappa + e^{-\Delta / 2}\big) - \tfrac{\Delta}{2} \text{ for a win,} \quad
        \log\big(e^{\Delta / 2} + \kappa + e^{-\Delta / 2}\big) - \log \kappa \text{ for a tie,} \qquad
        \Delta = s_\text{chosen} - s_\text{rejected} - m

    Feedback:
        Pairs with ties: `tie`, or a `preference` of 0.5. Votes, with the shares of annotators who saw each outcome.
        `margin` :math:`m` and `weight` as for `bradley_terry`.
    Options:
        `tie_odds` :math:`\kappa` > 0: how many times likelier than a win of the one a tie is between equals.
        'learned' starts from 1 and is trained beside the model.
    Relations:
        `bradley_terry` without ties and with :math:`\kappa` near 0. `rao_kupper` sees ties only near a score_difference of 0.
    Reference:
        Davidson (1970), https://doi.org/10.1080/01621459.1970.10481082
    Example:
        >>> from rlhf_losses.feedback import Pairs
        >>> Davidson()(torch.tensor([1.0, 1.0]), Pairs(chosen=[0], rejected=[1], tie=[1.0]))
        tensor(1.0986)
    """

    tie_odds: float | str = learnable(SMALLEST)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        return {"log_tie_odds": (0.0,)} if self.tie_odds == LEARNED else {}

    def per_outcome(
        self, score_difference: PerPair, log_tie_odds: Tensor | None = None
    ) -> tuple[PerPair, PerPair, PerPair]:  # type: ignore[override]
        half, tie = (
            score_difference / 2,
            score_difference.new_tensor(self.tie_odds).log() if log_tie_odds is None else log_tie_odds,
        )
        # Each cost is what the other outcomes add to the one that was seen, so that none is lost beside a large score.
        win, even, defeat = (
            torch.stack([torch.zeros_like(score_difference), *others]).logsumexp(dim=0)
            for others in ((tie - half, -score_difference), (half - tie, -half - tie), (tie + half, score_difference))
        )
        return win, even, defeat


davidson = Davidson()
