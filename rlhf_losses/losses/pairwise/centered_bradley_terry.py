"""Bradley–Terry loss with centered scores."""

from dataclasses import dataclass

from rlhf_losses.feedback import Pairs
from rlhf_losses.losses.base import AnyLoss, NamedObjective
from rlhf_losses.losses.options import number
from rlhf_losses.losses.pairwise.bradley_terry import bradley_terry
from rlhf_losses.losses.regularizers.centering import centering


@dataclass(frozen=True)
class CenteredBradleyTerry(NamedObjective):
    r"""Sum of `bradley_terry` and `coefficient * centering`.

    $$-\log \sigma(s_\text{chosen} - s_\text{rejected} - m) + \lambda (s_\text{chosen} + s_\text{rejected})^2$$

    Use it to replace TRL's `center_rewards_coefficient`, with the same coefficient. To set options of either term,
    write the sum: `bradley_terry(label_smoothing=0.1) + 0.01 * centering`.

    Feedback:
        Pairs. The margin $m$, preferences, ties and weights apply to the first term as in `bradley_terry`. The second
        term depends on the scores only.

    Args:
        coefficient: weight $\lambda$ of `centering`, at least 0.

    References:
        Eisenstein et al. (2023), equation 2, https://arxiv.org/abs/2312.09244

    Examples:
        >>> import torch
        >>> CenteredBradleyTerry(coefficient=0.5)(torch.tensor([1.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(2.6931)
    """

    coefficient: float = number(0.01, 0.0)

    feedback_type = Pairs

    def expand(self) -> AnyLoss:
        return bradley_terry + self.coefficient * centering


centered_bradley_terry = CenteredBradleyTerry()
