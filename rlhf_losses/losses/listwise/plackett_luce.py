"""Plackett–Luce loss for rankings."""

from dataclasses import dataclass

import torch

from rlhf_losses.feedback import Ragged, Rankings
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.options import integer
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, SHIFT_INVARIANT
from rlhf_losses.shapes import PerItem, Scores


@dataclass(frozen=True)
class PlackettLuce(Loss[Rankings]):
    r"""Negative log-likelihood of a ranking, best to worst.

    $$\sum_{i:\, \#\{j:\, \text{rank}_j < \text{rank}_i\} < k}
    \Big(\log \sum_{j:\, \text{rank}_j \ge \text{rank}_i} e^{s_j} - s_i\Big)$$

    Each choice is the best remaining answer.

    This is the standard loss of rankings. If only the best answer is known, use `best_of_n`; if the data are ratings
    whose differences matter, use `list_net`. With two answers it is `bradley_terry`.

    Feedback:
        Rankings; one item per list. Each of several tied answers is chosen from the same set, which includes the tied
        answers (Breslow's approximation).

    Args:
        top: number $k$ of first choices that count, at least 1, and answers tied with the last of them; None for all.

    References:
        Plackett (1975), https://doi.org/10.2307/2346567; ties: Breslow (1974), https://doi.org/10.2307/2529620

    Examples:
        >>> import torch
        >>> PlackettLuce()(torch.zeros(3), Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3]))
        tensor(1.7918)
    """

    top: int | None = integer(None, 1)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | PROPER

    def forward(self, scores: Scores, feedback: Rankings, parameters: Parameters) -> PerItem:
        lists, ranks = Ragged(feedback.sizes), torch.unique(feedback.ranks, return_inverse=True)[1]
        # Groups of tied answers, numbered list by list and from the worst to the best group of each list.
        _, group, counts = torch.unique(lists.segment_ids * len(ranks) - ranks, return_inverse=True, return_counts=True)
        worst_first, groups = group.argsort(), Ragged(counts)
        scores = scores[feedback.candidates[worst_first]]
        maximum, rest = lists.logcumsumexp(scores)
        # The answers that are not better end with the last answer of the own group.
        last = groups.ends[groups.segment_ids] - 1
        losses = maximum[last] - scores + rest[last]
        if self.top is not None:
            num_better = lists.ends[lists.segment_ids] - 1 - last
            losses = torch.where(num_better < self.top, losses, 0.0)
        return lists.sum(losses)


plackett_luce = PlackettLuce()
