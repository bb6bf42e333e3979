"""Batch sum to zero: the scores of a global batch should cancel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses.feedback import Feedback
from rlhf_losses.losses.batch_loss import BatchLoss
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import Moments, Scalar, Scores


@dataclass(frozen=True)
class BatchSumToZero(BatchLoss):
    r"""Square of the mean score of a global batch: of all processes and micro-batches of an optimizer step.

    .. math:: \Bigl(\frac{1}{N} \sum_{i=1}^N s_i\Bigr)^2

    Feedback:
        Any; one item a score. In evaluation each batch of a process is a batch of its own.
    Relations:
        The paper squares the sum: its coefficient is this one's divided by :math:`N^2`, so that this one keeps its
        meaning when the batch grows. `centering` asks each pair to cancel, and `score_decay` each score.
    Reference:
        Hong et al. (2025), batch-wise sum-to-zero regularization, https://arxiv.org/abs/2505.07271
    Example:
        >>> from rlhf_losses.feedback import Pairs
        >>> BatchSumToZero()(torch.tensor([2.0, 1.0, -3.0, 2.0]), Pairs(chosen=[0, 1], rejected=[2, 3]))
        tensor(0.2500)
    """

    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX | REVERSIBLE

    def moments(self, scores: Scores, feedback: Feedback) -> Moments:
        return scores.double().unsqueeze(1)

    def of_means(self, means: Tensor) -> Scalar:
        return means[0] ** 2

    def item_positions(self, scores: Scores, feedback: Feedback) -> Tensor:
        return torch.arange(len(scores), device=scores.device)


batch_sum_to_zero = BatchSumToZero()
