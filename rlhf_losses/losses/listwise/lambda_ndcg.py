"""LambdaNDCG: a pair of a list costs what its order is worth to the normalized discounted cumulative gain."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Rankings
from rlhf_losses.feedback.base import require_within
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.options import count, word
from rlhf_losses.losses.properties import NON_NEGATIVE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerItem, Scores

_HIGHEST = 64.0


@dataclass(frozen=True)
class LambdaNdcg(Loss):
    r"""Bradley–Terry cost of each pair of a list, times the change in NDCG if the two swapped their places.

    .. math:: \sum_{i, j:\, y_i > y_j} \frac{|G_i - G_j|}{Z} \left|\frac{1}{D_i} - \frac{1}{D_j}\right|
        \big(-\log \sigma(s_i - s_j)\big), \qquad D_i = \log_2(1 + \text{place}_i)

    :math:`\text{place}_i` is the place of answer :math:`i` in the order of the scores, :math:`G_i` its gain, and
    :math:`Z` the discounted cumulative gain of the best order. Places and weights are constants to the gradient.
    Every two answers of a list are compared, so time and memory grow with the square of its length.

    Feedback:
        Ratings from 0 to 64 of several answers to a prompt, which are the grades :math:`y`; or rankings, where the
        grade is the number of ranks below. Of equal scores the worse answer is taken to stand first.
    Options:
        `top` places count, None for all.
        `gain` is 'exponential', :math:`2^y - 1`, or 'linear', :math:`y`.
    Relations:
        `accumulated_pairs` weighs all pairs the same. Two candidates: a multiple of `bradley_terry`.
    Reference:
        Wang et al. (2018), https://doi.org/10.1145/3269206.3271784;
        on answers: Liu et al. (2024), https://arxiv.org/abs/2402.01878
    Example:
        >>> from rlhf_losses.feedback import Rankings
        >>> LambdaNdcg()(torch.zeros(3), Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3]))
        tensor(0.4068)
    """

    top: int | None = count(None, 1)
    gain: str = word("exponential", "linear")

    feedback_type = Rankings
    properties = SHIFT_INVARIANT | NON_NEGATIVE

    def require_domain(self, feedback: Rankings) -> None:  # type: ignore[override]
        require_within("lambda_ndcg", "rating", feedback.grades, 0.0, _HIGHEST)

    def forward(self, scores: Scores, feedback: Rankings) -> PerItem:  # type: ignore[override]
        assert feedback.grades is not None
        lists = Ragged(feedback.sizes)
        # From the best to the worst, so that of two answers the first is no worse.
        order = lists.order(-feedback.grades)
        scores, grades = scores[feedback.candidates[order]], feedback.grades[order].to(scores.dtype)
        gains = grades if self.gain == "linear" else torch.exp2(grades) - 1
        by_place = self._discounts(lists).to(grades.dtype)
        best = lists.sum(gains * by_place)
        # Where no order gains anything, none loses anything either.
        gains = gains / torch.where(best > 0, best, 1.0)[lists.of]
        # Of equal scores the worse answer stands first, however they are written.
        discounts = torch.empty_like(by_place).scatter(0, lists.order(-scores.detach(), grades), by_place)
        first, second = lists.pairs()
        worth = (gains[first] - gains[second]) * (discounts[first] - discounts[second]).abs()
        costs = -worth * logsigmoid(scores[first] - scores[second])
        return Ragged(lists.sizes * (lists.sizes - 1) // 2).sum(costs)

    def _discounts(self, lists: Ragged) -> Tensor:
        places = lists.places + 1
        counted = places <= (self.top or len(places))
        return torch.where(counted, 1 / torch.log2(1.0 + places), 0.0)


lambda_ndcg = LambdaNdcg()
