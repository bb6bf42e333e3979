"""Hinge loss for labels."""

from dataclasses import dataclass

from torch.nn.functional import relu

from rlhf_losses.feedback import Labels
from rlhf_losses.losses.families import LabelLoss, require_binary_labels, signs
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerCandidate


@dataclass(frozen=True)
class PointwiseHinge(LabelLoss):
    r"""Hinge loss of the score of an answer with a label.

    $$\max(0,\; m - y s)$$

    The label is $y = \pm 1$.

    Use it if correctly classified answers beyond a margin should have no gradient. For calibrated probabilities or soft
    labels use `cross_entropy`; for pairs use `hinge`, for steps `segment_hinge`.

    Feedback:
        Binary labels: true or false, 1 or 0, +1 or −1; one item per answer.

    Args:
        margin: required score $m$ on the correct side of 0, in score units; at least 0.

    References:
        Cortes & Vapnik (1995), https://doi.org/10.1007/BF00994018

    Examples:
        >>> import torch
        >>> PointwiseHinge()(torch.tensor([0.3]), Labels(candidates=[0], labels=[1.0]))
        tensor(0.7000)
    """

    margin: float = number(1.0, 0.0)

    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE

    def require_domain(self, feedback: Labels) -> None:
        require_binary_labels(self, "label", feedback.labels)

    def per_label(self, scores: PerCandidate, labels: PerCandidate) -> PerCandidate:
        return relu(self.margin - signs(labels) * scores)


pointwise_hinge = PointwiseHinge()
