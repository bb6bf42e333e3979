"""A loss prices scores against feedback: one number per item, nothing else.

A loss is a frozen dataclass. Its fields are its options, its text is the call that makes it, and it
never holds a tensor, sees a model or takes an average.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from rlhf_losses.errors import InvalidFeedbackError, PluginError
from rlhf_losses.feedback import Feedback, Labels, Pairs, Rankings, Ratings, Steps
from rlhf_losses.losses.options import require_options, written
from rlhf_losses.losses.properties import LossProperty
from rlhf_losses.shapes import PerCandidate, PerItem, PerPair, PerStep, Ranks, Scalar, Scores

if TYPE_CHECKING:
    from rlhf_losses.losses.objective import Term


@dataclass(frozen=True)
class Loss(ABC):
    """Anything that `+` and a number `*` can combine, and a trainer can minimise."""

    feedback_type: ClassVar[type[Feedback]] = Feedback  # type: ignore[type-abstract]
    properties: ClassVar[LossProperty] = LossProperty.NONE

    def __post_init__(self) -> None:
        require_options(self)

    @classmethod
    def name(cls) -> str:
        """Return the name in expressions: the class in snake case.

        >>> from rlhf_losses.losses import BradleyTerry
        >>> BradleyTerry.name()
        'bradley_terry'
        """
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        """Return the numbers that are learned beside the model, by name, with the values that they start from.

        A loss holds no tensors: whoever trains keeps these as parameters, and hands them to `price`.
        """
        return {}

    @abstractmethod
    def forward(self, scores: Scores, feedback: Feedback, **numbers: Tensor) -> PerItem:
        """Price every item of `feedback`, which is of the kind that this loss `reads`.

        A loss that learns numbers gets them here by name, as vectors; others take no more arguments.
        """

    def require_domain(self, feedback: Feedback) -> None:  # noqa: B027 (most losses take any number)
        """Raise `InvalidFeedbackError` if `feedback`, of the kind that this loss `reads`, has values outside its domain."""

    def check(self, feedback: Feedback) -> None:
        """Raise `InvalidFeedbackError` if a term of this loss cannot price `feedback`."""
        for term in self.terms:
            term.loss.require_domain(feedback.convert_to(term.loss.feedback_type))

    def item_positions(self, scores: Scores, feedback: Feedback) -> Tensor:
        """Return one score position an item, which tells the prompt that the item belongs to."""
        return feedback.item_positions

    def per_item_loss(self, scores: Scores, feedback: Feedback, numbers: Mapping[str, Tensor] | None = None) -> PerItem:
        """Price `feedback` of any kind that can be read as the one this loss `reads`, in float32 or better.

        Learned numbers that are not given have the values that they start from.
        """
        require_vector(scores)
        scores, feedback = exact(scores), feedback.convert_to(self.feedback_type)
        given = {name: scores.new_tensor(start) for name, start in self.loss_parameters.items()} | dict(numbers or {})
        items = self.forward(scores, feedback, **given)
        expected = len(self.item_positions(scores, feedback))
        if items.shape != (expected,):
            raise PluginError(
                f"{self.name()} gave a tensor of shape {tuple(items.shape)} for {expected} items. A loss gives one "
                "number per item and averages nothing; return the vector of costs."
            )
        return items

    def __call__(
        self, scores: Scores, feedback: Feedback, numbers: Sequence[Mapping[str, Tensor]] | None = None
    ) -> Scalar:
        """Return the mean over items of each term, weighted and added; `numbers` are those that each term learned."""
        total = scores.new_zeros((), dtype=exact(scores).dtype)
        for term, learned in zip(self.terms, numbers or [{}] * len(self.terms), strict=True):
            items = term.loss.per_item_loss(scores, feedback, learned)
            total = total + term.weight * (items.mean() if len(items) else items.sum())
        return total

    @property
    def terms(self) -> "tuple[Term, ...]":
        """Return the weighted losses that this one is the sum of."""
        from rlhf_losses.losses.objective import Term

        return (Term(1.0, self),)

    def __add__(self, other: "Loss") -> "Loss":
        from rlhf_losses.losses.objective import WeightedSum

        return WeightedSum.of(self, other) if isinstance(other, Loss) else NotImplemented

    def __mul__(self, weight: float) -> "Loss":
        from rlhf_losses.losses.objective import WeightedSum

        return WeightedSum.scaled(weight, self) if isinstance(weight, int | float) else NotImplemented

    __rmul__ = __mul__

    def __str__(self) -> str:
        """Return the expression that parses back to this loss."""
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        options = ", ".join(f"{name}={written(value)}" for name, value in changed.items())
        return f"{self.name()}({options})" if options else self.name()


@dataclass(frozen=True)
class PairwiseLoss(Loss):
    r"""A cost of the score_difference :math:`s_\text{chosen} - s_\text{rejected} - \text{margin}`, per pair.

    A preference of :math:`p` costs :math:`p f(\text{lead}) + (1 - p) f(-\text{lead})`; a weight multiplies it.
    """

    feedback_type = Pairs

    @abstractmethod
    def per_pair(self, score_difference: PerPair) -> PerPair:
        """Return the cost of each score_difference."""

    def forward(self, scores: Scores, feedback: Pairs) -> PerPair:  # type: ignore[override]
        score_difference = feedback.score_difference(scores)
        if feedback.margin is not None:
            score_difference = score_difference - feedback.margin
        cost = self.per_pair(score_difference)
        if feedback.preference is not None:
            cost = feedback.preference * cost + (1 - feedback.preference) * self.per_pair(-score_difference)
        return cost if feedback.weight is None else feedback.weight * cost


@dataclass(frozen=True)
class TieLoss(Loss):
    """A cost of the score_difference and its outcome, per pair: the chosen answer wins, ties or loses.

    Shares of annotators who saw one or another outcome weigh their costs; a weight multiplies the sum.
    """

    feedback_type = Pairs

    @abstractmethod
    def per_outcome(self, score_difference: PerPair, **numbers: Tensor) -> tuple[PerPair, PerPair, PerPair]:
        """Return the cost of each score_difference where the chosen answer wins, where it ties and where it loses."""

    def forward(self, scores: Scores, feedback: Pairs, **numbers: Tensor) -> PerPair:  # type: ignore[override]
        score_difference = feedback.score_difference(scores)
        if feedback.margin is not None:
            score_difference = score_difference - feedback.margin
        shares, costs = feedback.outcomes(), self.per_outcome(score_difference, **numbers)
        cost = torch.stack([share * cost for share, cost in zip(shares, costs, strict=True)]).sum(dim=0)
        return cost if feedback.weight is None else feedback.weight * cost


@dataclass(frozen=True)
class ListwiseLoss(Loss):
    """A cost of one list of scores and its ranks, per list.

    Lists are priced one after another. A loss that shall price all of them at once gives `items` instead, with
    `rlhf_losses.feedback.Ragged`, as the built-in losses of lists do.
    """

    feedback_type = Rankings

    @abstractmethod
    def per_list(self, scores: PerCandidate, ranks: Ranks) -> Scalar:
        """Return the cost of one list; rank 1 is best and equal ranks are ties."""

    def forward(self, scores: Scores, feedback: Rankings) -> PerItem:  # type: ignore[override]
        costs = [self.per_list(*one) for one in feedback.lists(scores)]
        return torch.stack(costs) if costs else scores[:0]


@dataclass(frozen=True)
class GradedLoss(Loss):
    """A cost of one list of scores and how good each answer is, per list; one list after another, as `ListwiseLoss`."""

    feedback_type = Rankings

    @abstractmethod
    def per_list(self, scores: PerCandidate, grades: PerCandidate) -> Scalar:
        """Return the cost of one list; a higher grade is better. Without ratings, grades count the ranks below."""

    def forward(self, scores: Scores, feedback: Rankings) -> PerItem:  # type: ignore[override]
        costs = [self.per_list(*one) for one in feedback.graded_lists(scores)]
        return torch.stack(costs) if costs else scores[:0]


@dataclass(frozen=True)
class RatingLoss(Loss):
    """A cost of one score and the rating of its text."""

    feedback_type = Ratings

    @abstractmethod
    def per_rating(self, scores: PerCandidate, ratings: PerCandidate) -> PerCandidate:
        """Return the cost of each score."""

    def forward(self, scores: Scores, feedback: Ratings) -> PerCandidate:  # type: ignore[override]
        return self.per_rating(scores[feedback.candidates], feedback.ratings)


@dataclass(frozen=True)
class LabelLoss(Loss):
    """A cost of one score and the label of its text."""

    feedback_type = Labels

    @abstractmethod
    def per_label(self, scores: PerCandidate, labels: PerCandidate) -> PerCandidate:
        """Return the cost of each score."""

    def forward(self, scores: Scores, feedback: Labels) -> PerCandidate:  # type: ignore[override]
        return self.per_label(scores[feedback.candidates], feedback.labels)


@dataclass(frozen=True)
class StepwiseLoss(Loss):
    """A cost of one score and the value of its step."""

    feedback_type = Steps

    @abstractmethod
    def per_step(self, scores: PerStep, values: PerStep) -> PerStep:
        """Return the cost of each step's score."""

    def forward(self, scores: Scores, feedback: Steps) -> PerStep:  # type: ignore[override]
        return self.per_step(scores[feedback.steps], feedback.values)


@dataclass(frozen=True)
class Regularizer(Loss):
    """A cost of every score, whatever was said about it."""

    @abstractmethod
    def per_score(self, scores: Scores) -> Scores:
        """Return the cost of each score."""

    def forward(self, scores: Scores, feedback: Feedback) -> Scores:  # type: ignore[override]
        return self.per_score(scores)

    def item_positions(self, scores: Scores, feedback: Feedback) -> Tensor:
        return torch.arange(len(scores), device=scores.device)


def exact(scores: Scores) -> Scores:
    """Return scores in float32, or as they are in float64: bfloat16 cannot tell 16.0 from 16.05."""
    return scores if scores.dtype == torch.float64 else scores.float()


def require_vector(scores: Tensor) -> None:
    """Raise `InvalidFeedbackError` unless scores are one vector: a column of them would spread to a square."""
    if scores.ndim != 1:
        raise InvalidFeedbackError(
            f"Scores of the shape {tuple(scores.shape)} arrived, but feedback refers to a vector of them. "
            "ForwardPass one number a text: scores.reshape(-1)."
        )


def require_signs(loss: Loss, name: str, values: torch.Tensor) -> None:
    """Raise `InvalidFeedbackError` unless every label is good (true, 1) or bad (false, 0 or −1)."""
    seen = sorted(set(values.tolist()))
    if not set(seen) <= {-1.0, 0.0, 1.0}:
        odd = next(value for value in seen if value not in (-1.0, 0.0, 1.0))
        raise InvalidFeedbackError(
            f"{loss.name()} got the {name} {odd:g}. It reads good or bad: true or false, 1 or 0, +1 or -1. "
            "For ratings take squared_error (whole texts) or segment_rating (steps)."
        )
    if {-1.0, 0.0} <= set(seen):
        raise InvalidFeedbackError(
            f"{loss.name()} got both -1 and 0 as {name}. Bad is written either as 0 or as -1, so one of them "
            "means something else; drop or relabel the neutral rows."
        )


def signs(values: torch.Tensor) -> Tensor:
    """Return +1 for good and −1 for bad.

    >>> signs(torch.tensor([1.0, 0.0]))
    tensor([ 1., -1.])
    """
    return torch.where(values > 0, 1.0, -1.0)


def require_dataclass(loss_class: type) -> None:
    """Raise `PluginError` if a loss class lacks its own `@dataclass(frozen=True)`."""
    params = loss_class.__dict__.get("__dataclass_params__")
    if not is_dataclass(loss_class) or params is None or not params.frozen:
        raise PluginError(
            f"{loss_class.__name__} is not a frozen dataclass, so its options have no text. "
            "Add @dataclass(frozen=True) above the class."
        )
