"""Comparative loss of a process Q-value model."""

from dataclasses import dataclass

import torch

from rlhf_losses.feedback import Ragged, Steps
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.families import require_binary_labels
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE
from rlhf_losses.shapes import ItemIndex, PerItem, Scores


@dataclass(frozen=True)
class Pqm(Loss[Steps]):
    r"""Each correct step against earlier and wrong steps.

    $$\frac{1}{|C|} \sum_{t \in C} \Big(\log\Big(1 + \sum_{q \in C,\, q \le t} e^{s_q}
    + \sum_{w \in W} e^{s_w + \zeta}\Big) - s_t\Big)$$

    This is the mean negative log-likelihood of choosing each correct step over earlier correct steps and all wrong
    steps.

    $C$ are the correct steps of an answer and $W$ the wrong ones. The start of the answer has the score 0; it is one of
    $C$ if the answer has wrong steps.

    Use it to train step scores as Q-values, which increase over correct steps. To classify each step independently use
    `step_cross_entropy`.

    Feedback:
        Steps with binary labels: true or false, 1 or 0, +1 or −1. One item per answer, not per step.

    Args:
        margin: required score difference $\zeta$ between correct and wrong steps, in score units; at least 0.

    References:
        Li & Li (2024), https://arxiv.org/abs/2410.11287

    Examples:
        >>> Pqm(margin=0.0)(torch.zeros(2), Steps(steps=[0, 1], values=[1.0, 0.0]))
        tensor(0.8959)
    """

    margin: float = number(4.0, 0.0)

    properties = NON_NEGATIVE | CONVEX

    def require_domain(self, feedback: Steps) -> None:
        require_binary_labels(self, "labels", feedback.values)

    def item_positions(self, scores: Scores, feedback: Steps) -> ItemIndex:
        return feedback.first_steps()

    def forward(self, scores: Scores, feedback: Steps, parameters: Parameters) -> PerItem:
        assert feedback.sizes is not None
        answers, scores, is_correct = Ragged(feedback.sizes), scores[feedback.steps], feedback.values > 0
        correct, wrong = answers.select(is_correct), answers.select(~is_correct)
        correct_scores, wrong_scores = scores[is_correct], scores[~is_correct] + self.margin
        # The log-sum-exp of the start and the wrong steps, and that of the correct steps so far, as two terms each:
        # differences of large scores are computed before the logarithm of a sum is added.
        maximum = wrong.max(wrong_scores.detach()).clamp(min=0)
        rest = ((-maximum).exp() + wrong.sum((wrong_scores - maximum[wrong.segment_ids]).exp())).log()
        correct_maximum, correct_rest = correct.logcumsumexp(correct_scores)
        answer = correct.segment_ids
        losses = torch.logaddexp(
            correct_maximum - correct_scores + correct_rest, maximum[answer] - correct_scores + rest[answer]
        )
        start = torch.where(wrong.sizes > 0, maximum + rest, 0.0)
        return (correct.sum(losses) + start) / (correct.sizes + (wrong.sizes > 0))


pqm = Pqm()
