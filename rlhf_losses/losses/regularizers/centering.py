"""Regularizer of the sum of the two scores of a pair."""

from dataclasses import dataclass

from rlhf_losses.feedback import Pairs
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerPair, Scores


@dataclass(frozen=True)
class Centering(Loss[Pairs]):
    r"""Square of the sum of the two scores of a pair.

    $$(s_\text{chosen} + s_\text{rejected})^2$$

    Use it as a term of a sum to set the zero of the scores, which pairwise losses do not determine. It equals TRL's
    `center_rewards_coefficient`. It does not limit score differences; for that use `score_decay` or `log_barrier`. For
    the mean over a batch instead of each pair use `batch_sum_to_zero`.

    Feedback:
        Pairs; margins, preferences, ties and weights are ignored.

    References:
        Eisenstein et al. (2023), equation 2, https://arxiv.org/abs/2312.09244

    Examples:
        >>> import torch
        >>> Centering()(torch.tensor([2.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(9.)
    """

    uses_labels = False
    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX | REVERSIBLE

    def forward(self, scores: Scores, feedback: Pairs, parameters: Parameters) -> PerPair:
        return (scores[feedback.chosen] + scores[feedback.rejected]) ** 2


centering = Centering()
