"""Regularizer of the mean score of a batch."""

from dataclasses import dataclass

from torch import Tensor

from rlhf_losses.feedback import Feedback
from rlhf_losses.losses.families import BatchLoss
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import Moments, Scalar, Scores


@dataclass(frozen=True)
class BatchSumToZero(BatchLoss[Feedback]):
    r"""Square of the mean score of an optimizer step.

    $$\Bigl(\frac{1}{N} \sum_{i=1}^N s_i\Bigr)^2$$

    The mean is over all micro-batches and processes.

    Use it as a term of a sum to set the zero of the scores with little influence on single pairs. `centering` applies
    to each pair, and `score_decay` to each score. The paper squares the sum instead of the mean: its coefficient is
    that of this loss divided by $N^2$.

    Feedback:
        Any; one item per score, and the annotations are ignored. In evaluation, each batch of each process is a step of
        its own.

    References:
        Hong et al. (2025), https://arxiv.org/abs/2505.07271

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> BatchSumToZero()(torch.tensor([2.0, 1.0, -3.0, 2.0]), Pairs(chosen=[0, 1], rejected=[2, 3]))
        tensor(0.2500)
    """

    uses_labels = False
    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX | REVERSIBLE

    def moments(self, scores: Scores, feedback: Feedback) -> Moments:
        return scores.double().unsqueeze(1)

    def of_means(self, means: Tensor) -> Scalar:
        return means[0] ** 2


batch_sum_to_zero = BatchSumToZero()
