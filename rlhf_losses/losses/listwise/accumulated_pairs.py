"""Accumulated pairs: every pair of a list, averaged per prompt."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Rankings
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerItem, Scores


@dataclass(frozen=True)
class AccumulatedPairs(Loss):
    r"""Mean Bradley–Terry cost of the :math:`\binom{K}{2}` pairs of one list; a tie counts half for either side.

    .. math:: \frac{1}{\binom{K}{2}} \sum_{i \text{ above } j} -\log \sigma(s_i - s_j)

    Every two answers of a list are compared, so time and memory grow with the square of its length.

    Feedback:
        Rankings. One item a list, so every prompt weighs the same however many answers it has.
    Relations:
        `bradley_terry` read from rankings averages over pairs instead: prompts with more answers weigh more.
        Averaged over prompts, `bradley_terry` and `accumulated_pairs` are the same.
    Reference:
        Ouyang et al. (2022), https://arxiv.org/abs/2203.02155
    Example:
        >>> import torch
        >>> one_list = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3])
        >>> AccumulatedPairs()(torch.zeros(3), one_list)
        tensor(0.6931)
    """

    feedback_type = Rankings
    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE

    def forward(self, scores: Scores, feedback: Rankings) -> PerItem:  # type: ignore[override]
        pairs = feedback.to_pairs()
        assert pairs.preference is not None
        score_difference, counts = pairs.score_difference(scores), feedback.sizes * (feedback.sizes - 1) // 2
        # A pair the other way round costs the score_difference more.
        costs = (1 - pairs.preference) * score_difference - logsigmoid(score_difference)
        return Ragged(counts).sum(costs) / counts


accumulated_pairs = AccumulatedPairs()
