"""Centered Bradley–Terry: the regularized pairwise loss under a name of its own."""

from dataclasses import dataclass

from rlhf_losses.feedback import Pairs
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.objective import NamedObjective
from rlhf_losses.losses.options import number
from rlhf_losses.losses.pairwise.bradley_terry import bradley_terry
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.losses.regularizers.centering import centering


@dataclass(frozen=True)
class CenteredBradleyTerry(NamedObjective):
    r"""The sum `bradley_terry + coefficient * centering`.

    .. math:: -\log \sigma(s_\text{chosen} - s_\text{rejected} - m) + \lambda (s_\text{chosen} + s_\text{rejected})^2

    Feedback:
        Pairs.
    Options:
        `coefficient` :math:`\lambda` ≥ 0, the weight of `centering`.
    Relations:
        TRL's `center_rewards_coefficient`.
    Reference:
        Eisenstein et al. (2023), equation 2, https://arxiv.org/abs/2312.09244
    Example:
        >>> import torch
        >>> CenteredBradleyTerry(coefficient=0.5)(torch.tensor([1.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(2.6931)
    """

    coefficient: float = number(0.01, 0.0)

    feedback_type = Pairs
    properties = NON_NEGATIVE | CONVEX | REVERSIBLE

    def expand(self) -> Loss:
        return bradley_terry + self.coefficient * centering


centered_bradley_terry = CenteredBradleyTerry()
