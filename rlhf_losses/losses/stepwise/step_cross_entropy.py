"""Cross-entropy loss for labelled steps."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Steps
from rlhf_losses.feedback.base import require_in_range
from rlhf_losses.losses.families import StepwiseLoss
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, REVERSIBLE
from rlhf_losses.shapes import PerStep


@dataclass(frozen=True)
class StepCrossEntropy(StepwiseLoss):
    r"""Negative log-likelihood of the label of each step.

    $$-y \log \sigma(s) - (1 - y) \log \sigma(-s)$$

    $\sigma(s)$ is the probability that the step is good.

    This is the standard loss of process reward models. To compare the steps of an answer with each other use `pqm`; if
    correctly classified steps should have no gradient, use `segment_hinge`. It is `cross_entropy` on each step.

    Feedback:
        Steps with labels: true or false, 1 or 0, or the probability from 0 to 1 that the step is good, such as the
        share of correct completions from this step. One item per step. The label −1 is not allowed.

    References:
        Uesato et al. (2022), https://arxiv.org/abs/2211.14275;
        probabilities as labels: Wang et al. (2023), Math-Shepherd, https://arxiv.org/abs/2312.08935

    Examples:
        >>> import torch
        >>> StepCrossEntropy()(torch.tensor([1.0, 1.0]), Steps(steps=[0, 1], values=[1.0, 0.0]))
        tensor(0.8133)
    """

    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    def require_domain(self, feedback: Steps) -> None:
        require_in_range("step_cross_entropy", "labels", feedback.values, 0.0, 1.0)

    def per_step(self, scores: PerStep, values: PerStep) -> PerStep:
        return -values * logsigmoid(scores) - (1 - values) * logsigmoid(-scores)


step_cross_entropy = StepCrossEntropy()
