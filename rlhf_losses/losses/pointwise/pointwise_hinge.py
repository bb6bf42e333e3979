"""Pointwise hinge: a good text should score above the margin, a bad one below minus the margin."""

from dataclasses import dataclass

from torch.nn.functional import relu

from rlhf_losses.feedback import Labels
from rlhf_losses.losses.base import LabelLoss, require_signs, signs
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerCandidate


@dataclass(frozen=True)
class PointwiseHinge(LabelLoss):
    r"""Shortfall of the score on the side of its label, :math:`y = \pm 1`.

    .. math:: \max(0,\; m - y s)

    Feedback:
        Labels: true or false, 1 or 0, +1 or −1.
    Options:
        `margin` :math:`m` ≥ 0, in score units.
    Relations:
        `hinge` prices pairs, `segment_hinge` the steps of a text.
    Reference:
        Cortes & Vapnik (1995), https://doi.org/10.1007/BF00994018
    Example:
        >>> import torch
        >>> PointwiseHinge()(torch.tensor([0.3]), Labels(candidates=[0], labels=[1.0]))
        tensor(0.7000)
    """

    margin: float = number(1.0, 0.0)

    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE

    def require_domain(self, feedback: Labels) -> None:  # type: ignore[override]
        require_signs(self, "label", feedback.labels)

    def per_label(self, scores: PerCandidate, labels: PerCandidate) -> PerCandidate:
        return relu(self.margin - signs(labels) * scores)


pointwise_hinge = PointwiseHinge()
