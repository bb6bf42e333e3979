"""Families of losses: base classes whose subclasses define one formula.

A family applies margins, preferences and weights of pairs, and divides rankings into lists.
"""

from abc import abstractmethod
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Feedback, Labels, Pairs, Rankings, Ratings, Steps
from rlhf_losses.losses.base import Loss, Parameters, at_least_float32
from rlhf_losses.shapes import Moments, PerCandidate, PerItem, PerPair, PerStep, Ranks, Scalar, Scores

F = TypeVar("F", bound=Feedback)

MARGIN_USE = "is subtracted from the score difference, in score units"
PREFERENCE_USE = "is the probability that the chosen answer is better"
HALF = "is a probability of 0.5 for each answer"
WEIGHT_USE = "multiplies the loss of the pair"


@dataclass(frozen=True)
class PairwiseLoss(Loss[Pairs]):
    r"""Function $\ell$ of the score difference of each pair.

    $$w \left(p\, \ell(\Delta) + (1 - p)\, \ell(-\Delta)\right),
    \qquad \Delta = s_\text{chosen} - s_\text{rejected} - m$$

    with the margin $m$, the preference $p$ and the weight $w$ of the pair; without them $m = 0$ and $p = w = 1$.
    """

    column_uses = MappingProxyType(
        {"margin": MARGIN_USE, "preference": PREFERENCE_USE, "tie": HALF, "weight": WEIGHT_USE}
    )

    @abstractmethod
    def per_pair(self, score_difference: PerPair) -> PerPair:
        """Return the loss of each pair.

        Args:
            score_difference: chosen score − rejected score − margin, of shape (pairs).
        """

    def forward(self, scores: Scores, feedback: Pairs, parameters: Parameters) -> PerPair:
        difference = difference_minus_margin(scores, feedback)
        loss = self.per_pair(difference)
        if feedback.preference is not None:
            loss = feedback.preference * loss + (1 - feedback.preference) * self.per_pair(-difference)
        return weighted(loss, feedback)


@dataclass(frozen=True)
class TieLoss(Loss[Pairs]):
    r"""Function of the score difference and the outcome of each pair: the chosen answer wins, ties or loses.

    $$w \sum_{o} p_o\, \ell_o(\Delta), \qquad \Delta = s_\text{chosen} - s_\text{rejected} - m$$

    with the probability $p_o$ of each outcome (`Pairs.outcomes`), the margin $m$ and the weight $w$ of the pair.
    """

    column_uses = MappingProxyType(
        {"margin": MARGIN_USE, "preference": PREFERENCE_USE, "tie": "is the probability of a tie", "weight": WEIGHT_USE}
    )

    @abstractmethod
    def per_outcome(self, score_difference: PerPair, parameters: Parameters) -> tuple[PerPair, PerPair, PerPair]:
        """Return the loss of each pair if the chosen answer wins, if it ties, and if it loses.

        Args:
            score_difference: chosen score − rejected score − margin, of shape (pairs).
            parameters: trainable parameters by name.
        """

    def forward(self, scores: Scores, feedback: Pairs, parameters: Parameters) -> PerPair:
        losses = self.per_outcome(difference_minus_margin(scores, feedback), parameters)
        loss = torch.stack([p * one for p, one in zip(feedback.outcomes(), losses, strict=True)]).sum(dim=0)
        return weighted(loss, feedback)


@dataclass(frozen=True)
class ListwiseLoss(Loss[Rankings]):
    """Function of the scores and the ranks of each list; lists are computed one after another.

    The built-in listwise losses derive from `Loss[Rankings]` instead and compute all lists at once with
    `rlhf_losses.feedback.Ragged`.
    """

    @abstractmethod
    def per_list(self, scores: PerCandidate, ranks: Ranks) -> Scalar:
        """Return the loss of one list.

        Args:
            scores: scores of shape (candidates).
            ranks: ranks of shape (candidates); 1 is best, and equal ranks are ties.
        """

    def forward(self, scores: Scores, feedback: Rankings, parameters: Parameters) -> PerItem:
        losses = [self.per_list(*one) for one in feedback.lists(scores)]
        return torch.stack(losses) if losses else scores[:0]


@dataclass(frozen=True)
class GradedLoss(Loss[Rankings]):
    """Function of the scores and the grades of each list; lists are computed one after another."""

    @abstractmethod
    def per_list(self, scores: PerCandidate, grades: PerCandidate) -> Scalar:
        """Return the loss of one list.

        Args:
            scores: scores of shape (candidates).
            grades: ratings, or the number of ranks below each candidate, of shape (candidates); higher is better.
        """

    def forward(self, scores: Scores, feedback: Rankings, parameters: Parameters) -> PerItem:
        losses = [self.per_list(*one) for one in feedback.graded_lists(scores)]
        return torch.stack(losses) if losses else scores[:0]


@dataclass(frozen=True)
class RatingLoss(Loss[Ratings]):
    """Function of the score and the rating of each answer."""

    @abstractmethod
    def per_rating(self, scores: PerCandidate, ratings: PerCandidate) -> PerCandidate:
        """Return the loss of each answer; scores and ratings have the shape (candidates)."""

    def forward(self, scores: Scores, feedback: Ratings, parameters: Parameters) -> PerCandidate:
        return self.per_rating(scores[feedback.candidates], feedback.ratings)


@dataclass(frozen=True)
class LabelLoss(Loss[Labels]):
    """Function of the score and the label of each answer."""

    @abstractmethod
    def per_label(self, scores: PerCandidate, labels: PerCandidate) -> PerCandidate:
        """Return the loss of each answer; scores and labels have the shape (candidates)."""

    def forward(self, scores: Scores, feedback: Labels, parameters: Parameters) -> PerCandidate:
        return self.per_label(scores[feedback.candidates], feedback.labels)


@dataclass(frozen=True)
class StepwiseLoss(Loss[Steps]):
    """Function of the score and the label or rating of each step."""

    @abstractmethod
    def per_step(self, scores: PerStep, values: PerStep) -> PerStep:
        """Return the loss of each step; scores and values have the shape (steps)."""

    def forward(self, scores: Scores, feedback: Steps, parameters: Parameters) -> PerStep:
        return self.per_step(scores[feedback.steps], feedback.values)


@dataclass(frozen=True)
class Regularizer(Loss[Feedback]):
    """Function of each score alone; one item per score."""

    uses_labels = False

    @abstractmethod
    def per_score(self, scores: Scores) -> Scores:
        """Return the loss of each score."""

    def forward(self, scores: Scores, feedback: Feedback, parameters: Parameters) -> Scores:
        return self.per_score(scores)


@dataclass(frozen=True)
class BatchLoss(Loss[F]):
    r"""Function $f(\bar m)$ of the mean $\bar m$ of moments $m_i$ over all items of an optimizer step.

    The per-item loss is the tangent of $f$ at the mean:

    $$\ell_i = f(\bar m) + \nabla f(\bar m) \cdot (m_i - \bar m)$$

    The mean of these values is $f(\bar m)$, and the mean of their gradients is the gradient of $f(\bar m)$. Both hold
    for any number of forward passes, micro-batches and processes, if all of them use the same $\bar m$. A trainer
    computes $\bar m$ first, without gradients, and then calls `per_item_loss_at`. `per_item_loss` uses the means of its
    own arguments.

    Attributes:
        smallest_step: number of answers in an optimizer step below which $f(\bar m)$ is mostly noise; training warns.

    Examples:
        >>> from rlhf_losses.losses import BatchSumToZero
        >>> BatchSumToZero()(torch.tensor([3.0, 1.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(4.)
    """

    smallest_step: ClassVar[int] = 1

    @abstractmethod
    def moments(self, scores: Scores, feedback: F) -> Moments:
        """Return the moments of each item, of shape (items, moments), in float64 because their means are subtracted."""

    @abstractmethod
    def of_means(self, means: Tensor) -> Scalar:
        """Return the loss of an optimizer step, given the means of the moments, of shape (moments)."""

    def forward(self, scores: Scores, feedback: F, parameters: Parameters) -> PerItem:
        moments = self.moments(scores, feedback)
        return self._tangent(scores, moments, moments.mean(dim=0)) if len(moments) else scores[:0]

    def per_item_loss_at(self, scores: Scores, feedback: Feedback, means: Tensor) -> PerItem:
        """Return one loss value per item, given the means of the moments over the whole optimizer step.

        Args:
            scores: scores of shape (scores).
            feedback: feedback of any type that converts to `feedback_type`.
            means: means of shape (moments), in float64.

        Returns:
            Values of shape (items), in float32 or float64.
        """
        scores = at_least_float32(scores)
        moments = self.moments(scores, self._converted(feedback))
        return self._tangent(scores, moments, means) if len(moments) else scores[:0]

    def moments_of(self, scores: Scores, feedback: Feedback) -> Moments:
        """Return the moments of each item, for feedback of any type that converts to `feedback_type`."""
        return self.moments(at_least_float32(scores), self._converted(feedback))

    def _tangent(self, scores: Scores, moments: Moments, means: Tensor) -> PerItem:
        at = means.detach().requires_grad_()
        with torch.enable_grad():
            value = self.of_means(at)
            (slope,) = torch.autograd.grad(value, at)
        return (value.detach() + (moments - at.detach()) @ slope).to(scores.dtype)


def difference_minus_margin(scores: Scores, feedback: Pairs) -> PerPair:
    """Return chosen score − rejected score − margin of each pair."""
    difference = feedback.score_difference(scores)
    return difference if feedback.margin is None else difference - feedback.margin


def weighted(loss: PerPair, feedback: Pairs) -> PerPair:
    """Return the loss of each pair times its weight."""
    return loss if feedback.weight is None else feedback.weight * loss


def require_binary_labels(loss: Loss[F], column: str, values: Tensor) -> None:
    """Raise `InvalidFeedbackError` unless labels are 1 (positive) and either 0 or −1 (negative)."""
    unique = set(values.tolist())
    invalid = sorted(unique - {-1.0, 0.0, 1.0})
    if invalid:
        raise InvalidFeedbackError(
            f"Column '{column}' contains {invalid[0]:g}, but {loss.name()} needs binary labels: true or false, 1 or 0, "
            "+1 or -1. For ratings use squared_error (whole answers) or segment_rating (steps)."
        )
    if {-1.0, 0.0} <= unique:
        raise InvalidFeedbackError(
            f"Column '{column}' contains both -1 and 0, but {loss.name()} needs one of them as the negative label. "
            "Drop or relabel the neutral rows."
        )


def signs(labels: Tensor) -> Tensor:
    """Return +1 for positive and −1 for negative labels.

    Examples:
        >>> signs(torch.tensor([1.0, 0.0]))
        tensor([ 1., -1.])
    """
    return torch.where(labels > 0, 1.0, -1.0)
