"""Plackett–Luce: a ranking is a series of choices of the best of what is left."""

from dataclasses import dataclass

import torch

from rlhf_losses.dimensions import PerCandidate, Ranks, Scalar
from rlhf_losses.losses.base import ListwiseLoss
from rlhf_losses.losses.claims import CONVEX, MONOTONE, NON_NEGATIVE, PROPER, SHIFT_INVARIANT
from rlhf_losses.losses.options import count


@dataclass(frozen=True)
class PlackettLuce(ListwiseLoss):
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
        >>> from rlhf_losses.feedback import Rankings
        >>> PlackettLuce()(torch.zeros(3), Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3]))
        tensor(1.7918)
    """

    top: int | None = count(None, 1)

    claims = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | PROPER

    def per_list(self, scores: PerCandidate, ranks: Ranks) -> Scalar:
        left = ranks.unsqueeze(0) >= ranks.unsqueeze(1)
        # Differences first: beside a large score the logarithm of the number of rivals would be lost.
        leads = scores.unsqueeze(0) - scores.unsqueeze(1)
        costs = torch.where(left, leads, -torch.inf).logsumexp(dim=1)
        return costs.sum() if self.top is None else costs[(~left).sum(dim=1) < self.top].sum()


plackett_luce = PlackettLuce()
