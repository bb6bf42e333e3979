"""PQM: within one answer, scores rise from right step to right step, and every wrong step lies below."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses.feedback import Steps
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.losses.base import Loss, require_signs
from rlhf_losses.losses.options import number
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE
from rlhf_losses.shapes import PerItem, Scores


@dataclass(frozen=True)
class Pqm(Loss):
    r"""Mean negative log-likelihood that each right step is chosen over those before it and over all wrong steps.

    .. math:: \frac{1}{|C|} \sum_{t \in C} \Big(\log\Big(1 + \sum_{q \in C,\, q \le t} e^{s_q}
        + \sum_{w \in W} e^{s_w + \zeta}\Big) - s_t\Big)

    :math:`C` are the right steps and :math:`W` the wrong ones. The start of the answer has the score 0; where there
    are wrong steps, it is one of :math:`C`.

    Feedback:
        Steps labelled true or false, 1 or 0, +1 or −1. One item an answer.
    Options:
        `margin` :math:`\zeta` ≥ 0: the score_difference, in score units, that a right step shall have over a wrong one.
    Relations:
        `step_cross_entropy` prices each step by itself.
    Reference:
        Li & Li (2024), https://arxiv.org/abs/2410.11287
    Example:
        >>> Pqm(margin=0.0)(torch.zeros(2), Steps(steps=[0, 1], values=[1.0, 0.0]))
        tensor(0.8959)
    """

    margin: float = number(4.0, 0.0)

    feedback_type = Steps
    properties = NON_NEGATIVE | CONVEX

    def require_domain(self, feedback: Steps) -> None:  # type: ignore[override]
        require_signs(self, "labels", feedback.values)

    def item_positions(self, scores: Scores, feedback: Steps) -> Tensor:  # type: ignore[override]
        return feedback.first_steps()

    def forward(self, scores: Scores, feedback: Steps) -> PerItem:  # type: ignore[override]
        assert feedback.sizes is not None
        answers, scores, good = Ragged(feedback.sizes), scores[feedback.steps], feedback.values > 0
        right, wrong = answers.only(good), answers.only(~good)
        rights, wrongs = scores[good], scores[~good] + self.margin
        # The start and the wrong steps, and then the right steps so far: each in two parts, so that differences of
        # large scores are taken before the logarithm of a number of steps is added.
        top = wrong.highest(wrongs.detach()).clamp(min=0)
        below = ((-top).exp() + wrong.sum((wrongs - top[wrong.of]).exp())).log()
        highest, so_far = right.running_logsumexp(rights)
        costs = torch.logaddexp(highest - rights + so_far, top[right.of] - rights + below[right.of])
        start = torch.where(wrong.sizes > 0, top + below, 0.0)
        return (right.sum(costs) + start) / (right.sizes + (wrong.sizes > 0))


pqm = Pqm()
