"""Aggregated: any loss of lists or pairs, on one score an answer that is made of the scores of its steps."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses.feedback import StepwiseRankings
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.options import SMALLEST, loss_of_lists, number, word
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
from rlhf_losses.shapes import PerCandidate, PerItem, PerStep, Scalar, Scores

_KEPT = {
    "mean": ~LossProperty.NONE,
    "sum": ~SHIFT_INVARIANT,  # longer answers move further
    "minimum": ~(CONVEX | REVERSIBLE),
    "soft_minimum": ~(CONVEX | REVERSIBLE | HOMOGENEOUS),
}
"""What a loss still is when its scores are aggregated."""


@dataclass(frozen=True)
class Aggregated(Loss):
    r"""A loss of pairs or lists on the mean, sum, minimum or soft minimum of the scores of an answer's steps.

    .. math:: \ell\big(a(s_{11}, s_{12}, \dots), a(s_{21}, \dots), \dots\big), \qquad
        a_\text{soft minimum} = -T \log \frac1n \sum_{k=1}^n e^{-s_k / T}

    Feedback:
        Stepwise rankings: whole answers were compared, and the model scores their steps. One item for each that the
        loss `of` has on those rankings.
    Options:
        `of` is the loss of the answers' scores, by name and with options.
        `by` is 'mean', 'sum', 'minimum' or 'soft_minimum'.
        `temperature` :math:`T` > 0 of the soft minimum, in score units: the minimum near 0, the mean far above the
        scores' spread.
    Relations:
        On answers of one step each it is the loss `of`, `bradley_terry` unless another one is named.
    Reference:
        Yin et al. (2025), with the mean, https://arxiv.org/abs/2501.02790;
        the minimum: Cheng et al. (2025), https://arxiv.org/abs/2504.15275
    Example:
        >>> pair = StepwiseRankings.from_row({"chosen_steps": ["a", "b"], "rejected_steps": ["c"]})
        >>> Aggregated(by="minimum")(torch.tensor([2.0, 1.0, 0.0]), pair)
        tensor(0.3133)
    """

    of: Loss = loss_of_lists(bradley_terry)
    by: str = word("mean", "sum", "minimum", "soft_minimum")
    temperature: float = number(1.0, SMALLEST)

    feedback_type = StepwiseRankings
    properties = SHIFT_INVARIANT | MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "properties", self.of.properties & _KEPT[self.by])

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        return self.of.loss_parameters

    def require_domain(self, feedback: StepwiseRankings) -> None:  # type: ignore[override]
        self.of.check(feedback.of_answers())

    def item_positions(self, scores: Scores, feedback: StepwiseRankings) -> Tensor:  # type: ignore[override]
        answers = feedback.of_answers().convert_to(self.of.feedback_type)
        return feedback.first_steps()[self.of.item_positions(scores.new_zeros(len(feedback.counts)), answers)]

    def forward(self, scores: Scores, feedback: StepwiseRankings, **numbers: Tensor) -> PerItem:  # type: ignore[override]
        return self.of.per_item_loss(self.per_answer(scores, feedback), feedback.of_answers(), numbers)

    def per_answer(self, scores: Scores, feedback: StepwiseRankings) -> PerCandidate:
        """Return one score an answer."""
        return self._made_of(scores[feedback.steps], Ragged(feedback.counts))

    def of_steps(self, scores: PerStep) -> Scalar:
        """Return the score of an answer with these steps.

        >>> Aggregated(by="sum").of_steps(torch.tensor([2.0, 1.0]))
        tensor(3.)
        """
        return self._made_of(scores, Ragged(torch.tensor([len(scores)], device=scores.device)))[0]

    def _made_of(self, scores: PerStep, answers: Ragged) -> PerCandidate:
        if self.by == "mean":
            return answers.sum(scores) / answers.sizes
        if self.by == "sum":
            return answers.sum(scores)
        lowest = -answers.highest(-scores)
        if self.by == "minimum":
            return lowest
        above = (lowest[answers.of] - scores) / self.temperature
        return lowest - self.temperature * (answers.sum(above.exp()) / answers.sizes).log()


aggregated = Aggregated()
