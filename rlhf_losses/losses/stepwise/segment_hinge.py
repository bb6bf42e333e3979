"""Segment hinge: a good step should score above the margin, a bad one below minus the margin."""

from dataclasses import dataclass

from torch.nn.functional import relu

from rlhf_losses.feedback import Steps
from rlhf_losses.losses.base import StepwiseLoss, require_signs, signs
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerStep


@dataclass(frozen=True)
class SegmentHinge(StepwiseLoss):
    r"""Shortfall of a step's score on the side of its label, :math:`y = \pm 1`.

    .. math:: \max(0,\; m - y s)

    Feedback:
        Steps labelled true or false, 1 or 0, +1 or −1.
    Options:
        `margin` :math:`m` ≥ 0, in score units.
    Relations:
        `pointwise_hinge` on every step; `segment_rating` where steps carry ratings.
    Reference:
        Cortes & Vapnik (1995), https://doi.org/10.1007/BF00994018;
        segment feedback: Wu et al. (2023), https://arxiv.org/abs/2306.01693
    Example:
        >>> import torch
        >>> SegmentHinge()(torch.tensor([0.3, 2.0]), Steps(steps=[0, 1], values=[1.0, 1.0]))
        tensor(0.3500)
    """

    margin: float = number(1.0, 0.0)

    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE

    def require_domain(self, feedback: Steps) -> None:  # type: ignore[override]
        require_signs(self, "labels", feedback.values)

    def per_step(self, scores: PerStep, values: PerStep) -> PerStep:
        return relu(self.margin - signs(values) * scores)


segment_hinge = SegmentHinge()
