"""LambdaLoss for NDCG."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Ragged, Rankings
from rlhf_losses.feedback.base import require_in_range
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.options import choice, integer
from rlhf_losses.losses.properties import NON_NEGATIVE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerItem, Scores

_MAX_GRADE = 64.0


@dataclass(frozen=True)
class LambdaNdcg(Loss[Rankings]):
    r"""Bradley–Terry loss weighted by the change of NDCG.

    $$\sum_{i, j:\, y_i > y_j} \frac{|G_i - G_j|}{Z} \left|\frac{1}{D_i} - \frac{1}{D_j}\right|
    \big(-\log \sigma(s_i - s_j)\big), \qquad D_i = \log_2(1 + \text{position}_i)$$

    The weight of a pair is the change of NDCG if its two answers are swapped.

    $\text{position}_i$ is the position of answer $i$ in the order of the scores, $G_i$ its gain, and $Z$ the discounted
    cumulative gain of the optimal order. Positions and weights are constants for the gradient.

    Use it if the order at the top of a list matters most, as in best-of-n sampling. For equal weights of all pairs use
    `accumulated_pairs`. With two answers it is a multiple of `bradley_terry`. Time and memory grow with the square of
    the length of a list.

    Feedback:
        Rankings; one item per list. The grades $y$ are ratings from 0 to 64 or, for rankings without ratings, the
        number of ranks below each answer. Pairs with equal grades have no loss. If scores are equal, the worse answer
        has the better position.

    Args:
        top: number of positions with a discount other than 0, at least 1; None for all.
        gain: 'exponential' for $G = 2^y - 1$, or 'linear' for $G = y$.

    References:
        Wang et al. (2018), LambdaLoss, https://doi.org/10.1145/3269206.3271784;
        for language models: Liu et al. (2024), https://arxiv.org/abs/2402.01878

    Examples:
        >>> from rlhf_losses.feedback import Rankings
        >>> LambdaNdcg()(torch.zeros(3), Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3]))
        tensor(0.4068)
    """

    top: int | None = integer(None, 1)
    gain: str = choice("exponential", "linear")

    properties = SHIFT_INVARIANT | NON_NEGATIVE

    def require_domain(self, feedback: Rankings) -> None:
        require_in_range("lambda_ndcg", "rating", feedback.grades, 0.0, _MAX_GRADE)

    def forward(self, scores: Scores, feedback: Rankings, parameters: Parameters) -> PerItem:
        assert feedback.grades is not None
        lists = Ragged(feedback.sizes)
        # From the best to the worst grade, so that the first answer of each pair is not worse than the second.
        order = lists.argsort(-feedback.grades)
        scores, grades = scores[feedback.candidates[order]], feedback.grades[order].to(scores.dtype)
        gains = grades if self.gain == "linear" else torch.exp2(grades) - 1
        by_position = self._discounts(lists).to(grades.dtype)
        ideal = lists.sum(gains * by_position)
        # If all gains are 0, every order is optimal and the loss is 0.
        gains = gains / torch.where(ideal > 0, ideal, 1.0)[lists.segment_ids]
        # Ties of scores are broken by the grade, so that the value does not depend on the order of the answers.
        discounts = torch.empty_like(by_position).scatter(0, lists.argsort(-scores.detach(), grades), by_position)
        first, second = lists.pairs()
        weights = (gains[first] - gains[second]) * (discounts[first] - discounts[second]).abs()
        losses = -weights * logsigmoid(scores[first] - scores[second])
        return Ragged(lists.sizes * (lists.sizes - 1) // 2).sum(losses)

    def _discounts(self, lists: Ragged) -> Tensor:
        """Return the discount of each position of each list."""
        positions = lists.positions + 1
        in_top = positions <= (self.top or len(positions))
        return torch.where(in_top, 1 / torch.log2(1.0 + positions), 0.0)


lambda_ndcg = LambdaNdcg()
