"""Squared error of the score difference of a pair."""

from dataclasses import dataclass

from rlhf_losses.losses.families import PairwiseLoss
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE, SHIFT_INVARIANT, LossProperty
from rlhf_losses.shapes import PerPair


@dataclass(frozen=True)
class SquaredDifference(PairwiseLoss):
    r"""Squared error of the score difference to a target.

    $$(s_\text{chosen} - s_\text{rejected} - m - M)^2$$

    Use it if score differences should stay bounded although all annotators agree. For a loss without gradient above the
    target use `hinge` with a power of 2, for calibrated probabilities `bradley_terry`.

    Feedback:
        Pairs. The margin $m$ of a pair is added to the target; with a target of 0 every row has a margin. With a
        preference $p$ the loss is minimal at the score difference $(2p - 1) M + m$; a tie counts as $p = 0.5$. The
        weight multiplies the loss of the pair.

    Args:
        target: score difference $M$ of a pair with preference 1, in score units; at least 0. With 0 the margin of the
            data is the target.

    References:
        Azar et al. (2023), equation 17, https://arxiv.org/abs/2310.12036;
        for rated comparisons: Ziegler et al. (2019), https://arxiv.org/abs/1909.08593

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> SquaredDifference()(torch.tensor([1.5, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(0.2500)
    """

    target: float = number(1.0, 0.0)

    properties = SHIFT_INVARIANT | NON_NEGATIVE | CONVEX | REVERSIBLE

    @property
    def required_columns(self) -> tuple[str, ...]:
        return () if self.target else ("margin",)

    def active_properties(self) -> LossProperty:
        return self.properties if self.target else self.properties | HOMOGENEOUS

    def per_pair(self, score_difference: PerPair) -> PerPair:
        return (score_difference - self.target) ** 2


squared_difference = SquaredDifference()
