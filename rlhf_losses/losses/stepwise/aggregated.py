"""Pairwise and listwise losses of answers with one score per step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from rlhf_losses.feedback import Ragged, Rankings, StepwiseRankings
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.options import SMALLEST, Domain, choice, number, option
from rlhf_losses.losses.pairwise.bradley_terry import bradley_terry
from rlhf_losses.losses.properties import (
    CONVEX,
    HOMOGENEOUS,
    MONOTONE,
    NON_NEGATIVE,
    PROPER,
    REVERSIBLE,
    SHIFT_INVARIANT,
    LossProperty,
)
from rlhf_losses.shapes import ItemIndex, PerCandidate, PerItem, PerStep, Scalar, Scores

_PRESERVED = {
    "mean": ~LossProperty.NONE,
    "sum": ~SHIFT_INVARIANT,  # a constant is added once per step
    "minimum": ~(CONVEX | REVERSIBLE),
    "soft_minimum": ~(CONVEX | REVERSIBLE | HOMOGENEOUS),
}
"""Properties of a loss that each aggregation preserves."""


@dataclass(frozen=True)
class RankingLosses(Domain):
    """Losses that accept rankings, directly or converted to pairs."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Loss) and Rankings.is_convertible_to(value.feedback_type)

    def __str__(self) -> str:
        return "a loss of rankings or pairs, and not a sum"


@dataclass(frozen=True)
class Aggregated(Loss[StepwiseRankings]):
    r"""Loss of pairs or lists of aggregated step scores.

    $$\ell\big(a(s_{11}, s_{12}, \dots), a(s_{21}, \dots), \dots\big), \qquad
    a_\text{soft minimum} = -T \log \frac1n \sum_{k=1}^n e^{-s_k / T}$$

    Scores are the mean, the sum, the minimum or the soft minimum of step scores.

    Use it to train a process reward model from comparisons of whole answers. If steps have labels of their own, use
    `step_cross_entropy` or `pqm`. For answers of one step each it equals the loss `of`.

    Feedback:
        Stepwise rankings; the items are those of the loss `of` on the rankings of the answers. Ties are passed to this
        loss.

    Args:
        of: loss of the aggregated scores, with its options; a loss of rankings or pairs.
        by: aggregation of step scores: 'mean', 'sum', 'minimum' or 'soft_minimum'.
        temperature: temperature $T$ of the soft minimum, in score units, at least 1e-6; near 0 it is the minimum, and
            far above the range of the scores it is the mean.

    References:
        Mean: Yin et al. (2025), https://arxiv.org/abs/2501.02790;
        minimum: Cheng et al. (2025), https://arxiv.org/abs/2504.15275

    Examples:
        >>> pair = StepwiseRankings.from_row({"chosen_steps": ["a", "b"], "rejected_steps": ["c"]})
        >>> Aggregated(by="minimum")(torch.tensor([2.0, 1.0, 0.0]), pair)
        tensor(0.3133)
    """

    of: Loss[Any] = option(bradley_terry, RankingLosses())
    by: str = choice("mean", "sum", "minimum", "soft_minimum")
    temperature: float = number(1.0, SMALLEST)

    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    def active_properties(self) -> LossProperty:
        return self.of.active_properties() & _PRESERVED[self.by]

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        return self.of.loss_parameters

    def require_domain(self, feedback: StepwiseRankings) -> None:
        self.of.check(feedback.answer_rankings())

    def item_positions(self, scores: Scores, feedback: StepwiseRankings) -> ItemIndex:
        rankings = feedback.answer_rankings().convert_to(self.of.feedback_type)
        return feedback.first_steps()[self.of.item_positions(scores.new_zeros(len(feedback.counts)), rankings)]

    def forward(self, scores: Scores, feedback: StepwiseRankings, parameters: Parameters) -> PerItem:
        return self.of.per_item_loss(self.answer_scores(scores, feedback), feedback.answer_rankings(), parameters)

    def answer_scores(self, scores: Scores, feedback: StepwiseRankings) -> PerCandidate:
        """Return the aggregated score of each answer, of shape (candidates)."""
        return self._aggregate(scores[feedback.steps], Ragged(feedback.counts))

    def aggregate(self, scores: PerStep) -> Scalar:
        """Return the aggregated score of one answer.

        Args:
            scores: scores of its steps, of shape (steps).

        Examples:
            >>> Aggregated(by="sum").aggregate(torch.tensor([2.0, 1.0]))
            tensor(3.)
        """
        return self._aggregate(scores, Ragged(torch.tensor([len(scores)], device=scores.device)))[0]

    def _aggregate(self, scores: PerStep, answers: Ragged) -> PerCandidate:
        if self.by == "mean":
            return answers.sum(scores) / answers.sizes
        if self.by == "sum":
            return answers.sum(scores)
        minimum = -answers.max(-scores)
        if self.by == "minimum":
            return minimum
        relative = (minimum[answers.segment_ids] - scores) / self.temperature
        return minimum - self.temperature * (answers.sum(relative.exp()) / answers.sizes).log()


aggregated = Aggregated()
