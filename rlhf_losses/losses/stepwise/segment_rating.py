"""Squared error for rated steps."""

from dataclasses import dataclass

from rlhf_losses.losses.families import StepwiseLoss
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE
from rlhf_losses.shapes import PerStep


@dataclass(frozen=True)
class SegmentRating(StepwiseLoss):
    r"""Squared error between score and rating of each step.

    $$(s - y)^2$$

    Use it for steps with numerical ratings. For binary labels use `segment_hinge` or `step_cross_entropy`; for rated
    whole answers use `squared_error`.

    Feedback:
        Steps with ratings $y$ in the units of the scores; one item per step. The labels true and false are the ratings
        1 and 0.

    References:
        Lightman et al. (2023), with ratings instead of labels, https://arxiv.org/abs/2305.20050

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Steps
        >>> SegmentRating()(torch.tensor([0.5]), Steps(steps=[0], values=[0.1]))
        tensor(0.1600)
    """

    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX
    rates_steps = True

    def per_step(self, scores: PerStep, values: PerStep) -> PerStep:
        return (scores - values) ** 2


segment_rating = SegmentRating()
