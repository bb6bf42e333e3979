"""Regularizer of the correlation between scores and lengths."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses.feedback import Lengths
from rlhf_losses.losses.families import BatchLoss
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import NON_NEGATIVE, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import Moments, Scalar, Scores

_MIN_LENGTH_VARIANCE = 1e-9
"""Squared tokens; the variance of equal lengths is exactly 0, and that of different lengths is much larger."""


@dataclass(frozen=True)
class LengthDecorrelation(BatchLoss[Lengths]):
    r"""Squared correlation of scores with answer lengths.

    $$\frac{\operatorname{cov}(s, n)^2}{(\operatorname{var}(s) + \epsilon^2) \operatorname{var}(n)}$$

    The correlation is that of an optimizer step; lengths are in tokens.

    Use it as a term of a sum against a length bias of the scores. It penalizes any correlation with the length,
    including one that annotators intend. The correlation of a few answers is mostly noise: use optimizer steps of at
    least 64 answers, such as 32 pairs; with 16 answers and the weight 1, a model hardly learns. It does not determine
    the zero or the scale of the scores; for these use `batch_sum_to_zero` or `score_decay`. The paper uses the absolute
    correlation; its square is differentiable at 0.

    Feedback:
        Any; one item per score, and the annotations are ignored. The length of an answer is its number of tokens up to
        the score, without the prompt. If all lengths are equal the loss is 0. In evaluation, each batch of each process
        is a step of its own.

    Args:
        floor: standard deviation $\epsilon$ of the scores below which the loss decreases, in score units; at least
            1e-6. It bounds the gradient.

    References:
        Chen et al. (2024), length loss of ODIN; the floor is an addition, https://arxiv.org/abs/2402.07319

    Examples:
        >>> from rlhf_losses.feedback import Lengths
        >>> lengths = Lengths(texts=[0, 1, 2], lengths=[10, 20, 30])
        >>> LengthDecorrelation()(torch.tensor([0.0, 1.0, 0.0]), lengths)
        tensor(0.)
    """

    floor: float = number(0.01, SMALLEST)

    uses_labels = False
    smallest_step = 64
    properties = NON_NEGATIVE | SHIFT_INVARIANT | REVERSIBLE

    def moments(self, scores: Scores, feedback: Lengths) -> Moments:
        scores, lengths = scores[feedback.texts].double(), feedback.lengths.double()
        return torch.stack([scores, scores**2, lengths, lengths**2, scores * lengths], dim=1)

    def of_means(self, means: Tensor) -> Scalar:
        score, score_squared, length, length_squared, product = means.unbind()
        score_variance = (score_squared - score**2).clamp(min=0.0)
        length_variance = (length_squared - length**2).clamp(min=_MIN_LENGTH_VARIANCE)
        covariance = product - score * length
        return covariance**2 / ((score_variance + self.floor**2) * length_variance)


length_decorrelation = LengthDecorrelation()
