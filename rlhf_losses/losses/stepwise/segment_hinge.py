"""Hinge loss for labelled steps."""

from dataclasses import dataclass

from torch.nn.functional import relu

from rlhf_losses.feedback import Steps
from rlhf_losses.losses.families import StepwiseLoss, require_binary_labels, signs
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerStep


@dataclass(frozen=True)
class SegmentHinge(StepwiseLoss):
    r"""Hinge loss of the score of each step with a label.

    $$\max(0,\; m - y s)$$

    The label is $y = \pm 1$.

    Use it if correctly classified steps beyond a margin should have no gradient. For rated steps use `segment_rating`,
    for probabilities `step_cross_entropy`; it is `pointwise_hinge` on each step.

    Feedback:
        Steps with binary labels: true or false, 1 or 0, +1 or −1; one item per step.

    Args:
        margin: required score $m$ on the correct side of 0, in score units; at least 0.

    References:
        Cortes & Vapnik (1995), https://doi.org/10.1007/BF00994018;
        feedback on segments: Wu et al. (2023), Fine-Grained RLHF, https://arxiv.org/abs/2306.01693

    Examples:
        >>> import torch
        >>> SegmentHinge()(torch.tensor([0.3, 2.0]), Steps(steps=[0, 1], values=[1.0, 1.0]))
        tensor(0.3500)
    """

    margin: float = number(1.0, 0.0)

    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE

    def require_domain(self, feedback: Steps) -> None:
        require_binary_labels(self, "labels", feedback.values)

    def per_step(self, scores: PerStep, values: PerStep) -> PerStep:
        return relu(self.margin - signs(values) * scores)


segment_hinge = SegmentHinge()
