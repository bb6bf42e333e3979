"""PQM: within one answer, scores rise from right step to right step, and every wrong step lies below."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses.dimensions import PerItem, PerStep, Scalar, Scores
from rlhf_losses.feedback import Steps
from rlhf_losses.losses.base import Loss, require_signs
from rlhf_losses.losses.claims import CONVEX, NON_NEGATIVE
from rlhf_losses.losses.options import number


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
        `margin` :math:`\zeta` ≥ 0: the lead, in score units, that a right step shall have over a wrong one.
    Relations:
        `step_cross_entropy` prices each step by itself.
    Reference:
        Li & Li (2024), https://arxiv.org/abs/2410.11287
    Example:
        >>> Pqm(margin=0.0)(torch.zeros(2), Steps(steps=[0, 1], values=[1.0, 0.0]))
        tensor(0.8959)
    """

    margin: float = number(4.0, 0.0)

    reads = Steps
    claims = NON_NEGATIVE | CONVEX

    def require_domain(self, feedback: Steps) -> None:  # type: ignore[override]
        require_signs(self, "labels", feedback.values)

    def anchor(self, scores: Scores, feedback: Steps) -> Tensor:  # type: ignore[override]
        return feedback.first_steps()

    def items(self, scores: Scores, feedback: Steps) -> PerItem:  # type: ignore[override]
        costs = [self.per_answer(*one) for one in feedback.answers_of(scores)]
        return torch.stack(costs) if costs else scores[:0]

    def per_answer(self, scores: PerStep, values: PerStep) -> Scalar:
        """Return the cost of one answer."""
        right, wrong = scores[values > 0], scores[values <= 0]
        start = scores.new_zeros(1)
        below = torch.cat([start, wrong + self.margin]).logsumexp(dim=0)
        until = torch.ones(len(right), len(right), device=scores.device).tril().bool()
        before = torch.where(until, right.unsqueeze(0) - right.unsqueeze(1), -torch.inf).logsumexp(dim=1)
        costs = torch.logaddexp(before, below - right)
        return torch.cat([costs, below.unsqueeze(0)] if len(wrong) else [costs]).mean()


pqm = Pqm()
