"""Plackett–Luce: a ranking is a series of choices of the best of what is left."""

from dataclasses import dataclass

import torch

from rlhf_losses.feedback import Rankings
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.options import count
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, SHIFT_INVARIANT
from rlhf_losses.shapes import PerItem, Scores


@dataclass(frozen=True)
class PlackettLuce(Loss):
    r"""Negative log-likelihood of the ranking, choice after choice.

    .. math:: \sum_{i:\, \#\{j:\, \text{rank}_j < \text{rank}_i\} < k}
        \Big(\log \sum_{j:\, \text{rank}_j \ge \text{rank}_i} e^{s_j} - s_i\Big)

    Feedback:
        Rankings. Tied answers are each chosen from the same set, themselves included (Breslow's treatment
        of ties).
    Options:
        `top` :math:`k`: only the first so many choices count, those tied with them included; None for all.
    Relations:
        Two candidates: `bradley_terry`. With :math:`k` = 1 and one best answer: `best_of_n`.
    Reference:
        Plackett (1975), https://doi.org/10.2307/2346567; ties: Breslow (1974), https://doi.org/10.2307/2529620
    Example:
        >>> import torch
        >>> PlackettLuce()(torch.zeros(3), Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3]))
        tensor(1.7918)
    """

    top: int | None = count(None, 1)

    feedback_type = Rankings
    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | PROPER

    def forward(self, scores: Scores, feedback: Rankings) -> PerItem:  # type: ignore[override]
        lists, ranks = Ragged(feedback.sizes), torch.unique(feedback.ranks, return_inverse=True)[1]
        # Who ties with whom, numbered list by list and from the worst of each list to its best.
        _, tied, counts = torch.unique(lists.of * len(ranks) - ranks, return_inverse=True, return_counts=True)
        worst_first, ties = tied.argsort(), Ragged(counts)
        scores = scores[feedback.candidates[worst_first]]
        highest, rest = lists.running_logsumexp(scores)
        last = ties.lasts[ties.of]
        costs = highest[last] - scores + rest[last]
        if self.top is not None:
            better = lists.lasts[lists.of] - last
            costs = torch.where(better < self.top, costs, 0.0)
        return lists.sum(costs)


plackett_luce = PlackettLuce()
