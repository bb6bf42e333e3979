"""Mean Bradley–Terry loss of all pairs of a list."""

from dataclasses import dataclass

from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Ragged, Rankings
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerItem, Scores


@dataclass(frozen=True)
class AccumulatedPairs(Loss[Rankings]):
    r"""Mean Bradley–Terry loss over the pairs of a list.

    $$\frac{1}{\binom{K}{2}} \sum_{i \text{ better than } j} -\log \sigma(s_i - s_j)$$

    $K$ is the number of answers of the list.

    Use it for InstructGPT's loss of rankings: each prompt has the same weight, independent of its number of answers.
    `bradley_terry` on rankings averages over pairs instead; with `average_over="prompts"` both losses are equal. Time
    and memory grow with the square of the length of a list; for long lists use `plackett_luce`.

    Feedback:
        Rankings; one item per list. A tie counts one half for each order of the two answers.

    References:
        Ouyang et al. (2022), InstructGPT, https://arxiv.org/abs/2203.02155

    Examples:
        >>> import torch
        >>> one_list = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3])
        >>> AccumulatedPairs()(torch.zeros(3), one_list)
        tensor(0.6931)
    """

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE

    def forward(self, scores: Scores, feedback: Rankings, parameters: Parameters) -> PerItem:
        pairs = feedback.to_pairs()
        assert pairs.preference is not None
        difference, counts = pairs.score_difference(scores), feedback.sizes * (feedback.sizes - 1) // 2
        # The loss of the opposite order is larger by the score difference.
        losses = (1 - pairs.preference) * difference - logsigmoid(difference)
        return Ragged(counts).sum(losses) / counts


accumulated_pairs = AccumulatedPairs()
