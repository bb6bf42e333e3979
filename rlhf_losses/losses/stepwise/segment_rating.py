"""Segment rating: the score at the end of a step should equal the step's rating."""

from dataclasses import dataclass

from rlhf_losses.losses.base import StepwiseLoss
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE
from rlhf_losses.shapes import PerStep


@dataclass(frozen=True)
class SegmentRating(StepwiseLoss):
    r"""Squared distance of a step's score from its rating.

    .. math:: (s - y)^2

    Feedback:
        Steps rated by numbers, in the units that the scores shall have (a label true or false reads as 1 or 0).
    Relations:
        `squared_error` on every step; `segment_hinge` where steps are only good or bad.
    Reference:
        Lightman et al. (2023), https://arxiv.org/abs/2305.20050, with ratings in place of labels
    Example:
        >>> import torch
        >>> from rlhf_losses.feedback import Steps
        >>> SegmentRating()(torch.tensor([0.5]), Steps(steps=[0], values=[0.1]))
        tensor(0.1600)
    """

    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX

    def per_step(self, scores: PerStep, values: PerStep) -> PerStep:
        return (scores - values) ** 2


segment_rating = SegmentRating()
