"""Bradley–Terry loss corrected for a known rate of wrong labels."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.losses.families import PairwiseLoss
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class RobustBradleyTerry(PairwiseLoss):
    r"""Bradley–Terry loss corrected for random label flips.

    $$\frac{-(1 - \varepsilon) \log \sigma(\Delta) + \varepsilon \log \sigma(-\Delta)}{1 - 2 \varepsilon},
    \qquad \Delta = s_\text{chosen} - s_\text{rejected} - m$$

    Its expectation over random label flips is the loss of the correct labels.

    Use it if the share of wrong labels has been measured, for example by labelling some pairs twice. If it is a guess,
    use `bradley_terry` with label smoothing. This loss has no lower bound, and a rate above the true one increases
    score differences without limit; add `score_decay` or `centering`.

    Feedback:
        Pairs. The margin $m$ is subtracted from the score difference; preferences, ties and weights apply as in
        `bradley_terry`.

    Args:
        flip_rate: share $\varepsilon$ of pairs with swapped labels, in [0, 0.5); 0 gives `bradley_terry`.

    References:
        Ray Chowdhury et al. (2024), https://arxiv.org/abs/2403.00409

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> RobustBradleyTerry(flip_rate=0.25)(torch.tensor([1.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.6931)
    """

    flip_rate: float = number(0.1, 0.0, 0.5, exclude_high=True)

    properties = SHIFT_INVARIANT | MONOTONE | CONVEX | REVERSIBLE

    def per_pair(self, score_difference: PerPair) -> PerPair:
        # The formula with -log sigmoid(-x) = x - log sigmoid(x), so that no large terms cancel.
        return -logsigmoid(score_difference) - self.flip_rate / (1 - 2 * self.flip_rate) * score_difference


robust_bradley_terry = RobustBradleyTerry()
