"""Cross-entropy loss for labels."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Labels
from rlhf_losses.feedback.base import require_in_range
from rlhf_losses.losses.families import LabelLoss
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE
from rlhf_losses.shapes import PerCandidate


@dataclass(frozen=True)
class CrossEntropy(LabelLoss):
    r"""Negative log-likelihood of the label of an answer.

    $$-y \log \sigma(s) - (1 - y) \log \sigma(-s)$$

    $\sigma(s)$ is the probability that the answer is good.

    This is the standard loss of labels, for example for verifiers of mathematical solutions. If correctly classified
    answers should have no gradient, use `pointwise_hinge`; for labels of steps use `step_cross_entropy`.

    Feedback:
        Labels: true or false, 1 or 0, or the probability from 0 to 1 that the answer is good. The label −1 is not
            allowed.

    References:
        Cobbe et al. (2021), https://arxiv.org/abs/2110.14168

    Examples:
        >>> import torch
        >>> CrossEntropy()(torch.tensor([1.0]), Labels(candidates=[0], labels=[1.0]))
        tensor(0.3133)
    """

    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    def require_domain(self, feedback: Labels) -> None:
        require_in_range("cross_entropy", "label", feedback.labels, 0.0, 1.0)

    def per_label(self, scores: PerCandidate, labels: PerCandidate) -> PerCandidate:
        return -labels * logsigmoid(scores) - (1 - labels) * logsigmoid(-scores)


cross_entropy = CrossEntropy()
