"""Bradley–Terry loss with focal weights."""

import math
from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.losses.families import PairwiseLoss
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import MONOTONE, NON_NEGATIVE, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class FocalBradleyTerry(PairwiseLoss):
    r"""Bradley–Terry loss with less weight on certain pairs.

    $$-\big(1 - 2 \max(0, \sigma(\Delta) - \tfrac12)\big)^\gamma \log \sigma(\Delta),
    \qquad \Delta = s_\text{chosen} - s_\text{rejected} - m$$

    The weight decreases as a correctly ranked pair becomes more certain.

    Use it if the training data contain many easy pairs. Pairs with a negative score difference have the value of
    `bradley_terry`. For a loss that is exactly 0 above a margin use `hinge`.

    Feedback:
        Pairs. The margin $m$ is subtracted from the score difference; preferences, ties and weights apply as in
        `bradley_terry`.

    Args:
        focus: exponent $\gamma$ in [0, 100]; 0 gives `bradley_terry`.

    References:
        Cai et al. (2024), InternLM2, https://arxiv.org/abs/2403.17297

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> FocalBradleyTerry()(torch.tensor([0.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(1.3133)
    """

    focus: float = number(2.0, 0.0, 100.0)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | REVERSIBLE

    def per_pair(self, score_difference: PerPair) -> PerPair:
        # The base of the power is min(1, 2 sigmoid(-score_difference)); in log space its gradient at 0 is finite.
        focal_weight = (self.focus * (math.log(2) + logsigmoid(-score_difference)).clamp(max=0)).exp()
        return -focal_weight * logsigmoid(score_difference)


focal_bradley_terry = FocalBradleyTerry()
