"""Softmax loss of the best answer of a list."""

from dataclasses import dataclass

from rlhf_losses.feedback import Ragged, Rankings
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import MONOTONE, NON_NEGATIVE, PROPER, SHIFT_INVARIANT
from rlhf_losses.shapes import PerItem, Scores


@dataclass(frozen=True)
class BestOfN(Loss[Rankings]):
    r"""Negative log-likelihood of the best answer of a list.

    $$\log \sum_j e^{s_j / T} - \log \sum_{j:\, \text{rank}_j = 1} e^{s_j / T}$$

    Use it if annotators chose the best answer and did not rank the others. With full rankings use `plackett_luce`,
    whose first choice is this loss. With two answers it is `bradley_terry`.

    Feedback:
        Rankings; one item per list. Ranks other than the best one are ignored. If several answers are tied for the best
        rank, the loss is that of choosing any of them.

    Args:
        temperature: temperature $T$ of the softmax, in score units; at least 1e-6.

    References:
        Ziegler et al. (2019), equation 1, https://arxiv.org/abs/1909.08593

    Examples:
        >>> import torch
        >>> BestOfN()(torch.zeros(4), Rankings(candidates=[0, 1, 2, 3], ranks=[2, 1, 2, 2], sizes=[4]))
        tensor(1.3863)
    """

    temperature: float = number(1.0, SMALLEST)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | PROPER

    def forward(self, scores: Scores, feedback: Rankings, parameters: Parameters) -> PerItem:
        lists, scores = Ragged(feedback.sizes), scores[feedback.candidates]
        is_best = feedback.ranks == -lists.max(-feedback.ranks)[lists.segment_ids]
        best = lists.select(is_best)
        # Subtract first: added to a large score, the logarithm of the number of answers would be lost to rounding.
        relative = (scores - best.max(scores[is_best].detach())[lists.segment_ids]) / self.temperature
        return lists.logsumexp(relative) - best.logsumexp(relative[is_best])


best_of_n = BestOfN()
