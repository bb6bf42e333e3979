"""Best of n: somebody chose one answer out of a list."""

from dataclasses import dataclass

from rlhf_losses.feedback import Rankings
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import MONOTONE, NON_NEGATIVE, PROPER, SHIFT_INVARIANT
from rlhf_losses.shapes import PerItem, Scores


@dataclass(frozen=True)
class BestOfN(Loss):
    r"""Negative log-likelihood that a choice by softmax falls on the best answer.

    .. math:: \log \sum_j e^{s_j / T} - \log \sum_{j:\, \text{rank}_j = 1} e^{s_j / T}

    Feedback:
        Rankings; only who is best counts. Where several are best, the choice may fall on any of them.
    Options:
        `temperature` :math:`T` > 0, in score units.
    Relations:
        Two candidates: `bradley_terry`. The first choice of `plackett_luce`.
    Reference:
        Ziegler et al. (2019), equation 1, https://arxiv.org/abs/1909.08593
    Example:
        >>> import torch
        >>> BestOfN()(torch.zeros(4), Rankings(candidates=[0, 1, 2, 3], ranks=[2, 1, 2, 2], sizes=[4]))
        tensor(1.3863)
    """

    temperature: float = number(1.0, SMALLEST)

    feedback_type = Rankings
    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | PROPER

    def forward(self, scores: Scores, feedback: Rankings) -> PerItem:  # type: ignore[override]
        lists, scores = Ragged(feedback.sizes), scores[feedback.candidates]
        best = feedback.ranks == -lists.highest(-feedback.ranks)[lists.of]
        winners = lists.only(best)
        # Differences first: beside a large score the logarithm of the number of answers would be lost.
        leads = (scores - winners.highest(scores[best].detach())[lists.of]) / self.temperature
        return lists.logsumexp(leads) - winners.logsumexp(leads[best])


best_of_n = BestOfN()
