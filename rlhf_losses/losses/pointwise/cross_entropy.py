"""Cross-entropy: sigmoid(score) is the probability that the answer is good."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Labels
from rlhf_losses.feedback.base import require_within
from rlhf_losses.losses.base import LabelLoss
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE
from rlhf_losses.shapes import PerCandidate


@dataclass(frozen=True)
class CrossEntropy(LabelLoss):
    r"""Negative log-likelihood of the label.

    .. math:: -y \log \sigma(s) - (1 - y) \log \sigma(-s)

    Feedback:
        Labels: true or false, or the probability of good, from 0 to 1.
    Relations:
        `pointwise_hinge` stops caring once a text is on the right side.
    Reference:
        Cobbe et al. (2021), https://arxiv.org/abs/2110.14168
    Example:
        >>> import torch
        >>> CrossEntropy()(torch.tensor([1.0]), Labels(candidates=[0], labels=[1.0]))
        tensor(0.3133)
    """

    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    def require_domain(self, feedback: Labels) -> None:  # type: ignore[override]
        require_within("cross_entropy", "label", feedback.labels, 0.0, 1.0)

    def per_label(self, scores: PerCandidate, labels: PerCandidate) -> PerCandidate:
        return -labels * logsigmoid(scores) - (1 - labels) * logsigmoid(-scores)


cross_entropy = CrossEntropy()
