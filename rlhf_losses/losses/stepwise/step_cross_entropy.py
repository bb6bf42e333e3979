"""Step cross-entropy: sigmoid(score) is the probability that a step is good."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Steps
from rlhf_losses.feedback.base import require_within
from rlhf_losses.losses.base import StepwiseLoss
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE
from rlhf_losses.shapes import PerStep


@dataclass(frozen=True)
class StepCrossEntropy(StepwiseLoss):
    r"""Negative log-likelihood of a step's label.

    .. math:: -y \log \sigma(s) - (1 - y) \log \sigma(-s)

    Feedback:
        Steps labelled true or false, or with the probability of good, from 0 to 1, such as the share of
        continuations from there that reached the right answer.
    Relations:
        `cross_entropy` on every step; `segment_hinge` stops caring once a step is on the right side.
    Reference:
        Uesato et al. (2022), https://arxiv.org/abs/2211.14275;
        probabilities as labels: Wang et al. (2023), https://arxiv.org/abs/2312.08935
    Example:
        >>> import torch
        >>> StepCrossEntropy()(torch.tensor([1.0, 1.0]), Steps(steps=[0, 1], values=[1.0, 0.0]))
        tensor(0.8133)
    """

    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    def require_domain(self, feedback: Steps) -> None:  # type: ignore[override]
        require_within("step_cross_entropy", "labels", feedback.values, 0.0, 1.0)

    def per_step(self, scores: PerStep, values: PerStep) -> PerStep:
        return -values * logsigmoid(scores) - (1 - values) * logsigmoid(-scores)


step_cross_entropy = StepCrossEntropy()
