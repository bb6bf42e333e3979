"""Length decorrelation: over a global batch, longer answers should not score higher, nor lower."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses.feedback import Lengths
from rlhf_losses.losses.batch_loss import BatchLoss
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import NON_NEGATIVE, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import Moments, Scalar, Scores

_TINY = 1e-9
"""Square tokens; lengths that are all the same have a variance of exactly zero, and any others a far larger one."""


@dataclass(frozen=True)
class LengthDecorrelation(BatchLoss):
    r"""Squared correlation of the scores of a global batch with the lengths of their answers in tokens.

    .. math:: \frac{\operatorname{cov}(s, n)^2}{(\operatorname{var}(s) + \epsilon^2) \operatorname{var}(n)}

    Feedback:
        Any; one item a score. An answer is as long as its tokens up to the score, its prompt left out. Answers that
        are all of one length cost nothing. In evaluation each batch of a process is a batch of its own.
    Options:
        `floor` :math:`\epsilon` > 0, in score units: scores that spread less than this are hardly pulled at, where the
        correlation itself has a gradient without bounds.
    Relations:
        It fights any correlation, also one that people meant: a batch of hundreds of answers, and a small weight.
        The paper takes the absolute correlation; its square is smooth where there is none.
    Reference:
        Chen et al. (2024), the length loss of ODIN, https://arxiv.org/abs/2402.07319; the floor is added here
    Example:
        >>> from rlhf_losses.feedback import Lengths
        >>> lengths = Lengths(texts=[0, 1, 2], lengths=[10, 20, 30])
        >>> LengthDecorrelation()(torch.tensor([0.0, 1.0, 0.0]), lengths)
        tensor(0.)
    """

    floor: float = number(0.01, SMALLEST)

    feedback_type = Lengths
    properties = NON_NEGATIVE | SHIFT_INVARIANT | REVERSIBLE

    def moments(self, scores: Scores, feedback: Lengths) -> Moments:  # type: ignore[override]
        scores, lengths = scores[feedback.texts].double(), feedback.lengths.double()
        return torch.stack([scores, scores**2, lengths, lengths**2, scores * lengths], dim=1)

    def of_means(self, means: Tensor) -> Scalar:
        score, score_squared, length, length_squared, product = means
        of_scores = (score_squared - score**2).clamp(min=0.0)
        of_lengths = (length_squared - length**2).clamp(min=_TINY)
        return (product - score * length) ** 2 / ((of_scores + self.floor**2) * of_lengths)


length_decorrelation = LengthDecorrelation()
