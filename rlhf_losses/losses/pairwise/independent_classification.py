"""Independent classification: the chosen answer is a good one, the rejected answer a bad one."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Pairs
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerPair, Scores


@dataclass(frozen=True)
class IndependentClassification(Loss):
    r"""Negative log-likelihood that the chosen answer is good and the rejected one bad, each by itself.

    .. math:: -\log \sigma(s_\text{chosen}) - \log \sigma(-s_\text{rejected})

    Feedback:
        Pairs. A `preference` of :math:`p` weighs this by :math:`p` and the opposite by :math:`1 - p`, a `weight`
        multiplies the sum; margins do not matter to it.
    Relations:
        `cross_entropy` with the chosen answers labelled good and the rejected ones bad. Unlike `bradley_terry` it
        fixes the zero of the scores, and it lets answers to different prompts be compared.
    Reference:
        Sun et al. (2024), https://arxiv.org/abs/2411.04991
    Example:
        >>> import torch
        >>> IndependentClassification()(torch.tensor([0.0, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(1.3863)
    """

    feedback_type = Pairs
    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE

    def forward(self, scores: Scores, feedback: Pairs) -> PerPair:  # type: ignore[override]
        chosen, rejected = scores[feedback.chosen], scores[feedback.rejected]
        cost = -logsigmoid(chosen) - logsigmoid(-rejected)
        if feedback.preference is not None:
            opposite = -logsigmoid(rejected) - logsigmoid(-chosen)
            cost = feedback.preference * cost + (1 - feedback.preference) * opposite
        return cost if feedback.weight is None else feedback.weight * cost


independent_classification = IndependentClassification()
