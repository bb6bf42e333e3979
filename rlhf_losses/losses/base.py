"""Losses and objectives.

A loss is a function of scores and one feedback type. It returns one value per item, has no tensors and no model, and
does not average. An objective is a weighted sum of losses, which a trainer minimizes:

    objective = (bradley_terry + 0.01 * centering).as_objective()
"""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, cast, get_args, get_origin

import torch
from torch import Tensor

from rlhf_losses.checks.argument_checks import describe_type, require_instance
from rlhf_losses.errors import InvalidArgumentError, InvalidFeedbackError, InvalidLossError, PluginError
from rlhf_losses.feedback import Feedback, Mixed, Steps
from rlhf_losses.losses.options import LARGEST, Expression
from rlhf_losses.losses.properties import HOMOGENEOUS, PROPER, LossProperty
from rlhf_losses.shapes import ItemIndex, PerItem, Scalar, Scores

F = TypeVar("F", bound=Feedback)

Parameters = Mapping[str, Tensor]
"""Trainable parameters of one loss, by name."""

_PRESERVED_BY_SUMS = ~(PROPER | HOMOGENEOUS)
"""Properties that a sum has if all its terms have them. The exponentials of a sum of negative log-likelihoods do not
add up to a constant, and terms may be homogeneous of different degrees."""

C = TypeVar("C", bound=Callable[..., Any])


def explains_calls(call: C) -> C:
    """Decorate `__call__` so that arguments other than scores and feedback raise `InvalidArgumentError`."""
    signature = inspect.signature(call)

    def require_arguments(self: Any, *args: Any, **options: Any) -> None:
        try:
            signature.bind(self, *args, **options)
        except TypeError as error:
            options_written = ", ".join(f"{name}={value!r}" for name, value in options.items())
            constructed = (
                f"it: {type(self).__name__}({options_written})" if isinstance(self, Expression) else "its terms"
            )
            raise InvalidArgumentError(
                f"'{self}' was called with other arguments than scores and their feedback: {error}. A loss is called "
                f"as loss(scores, feedback). To set options, construct {constructed}."
            ) from error

    @functools.wraps(call)
    def checked(self: Any, *args: Any, **options: Any) -> Any:
        try:
            return call(self, *args, **options)
        except TypeError:
            require_arguments(self, *args, **options)
            raise

    return cast(C, checked)


class LossExpression(ABC):
    """Base class of losses and objectives: the operands of `+` and of multiplication by a number."""

    @abstractmethod
    def as_objective(self) -> "Objective":
        """Return the equivalent objective."""

    def __add__(self, other: "LossExpression") -> "WeightedSum":
        _refuse_term(other)
        if not isinstance(other, LossExpression):
            return NotImplemented
        return WeightedSum((*_summands(self), *_summands(other)))

    def __radd__(self, other: object) -> "AnyLoss":
        """Return the sum; `sum(losses)` starts with 0."""
        if other == 0:
            assert isinstance(self, Loss | Objective)
            return self
        _refuse_term(other)
        return NotImplemented

    def __mul__(self, weight: float) -> "AnyLoss":
        if not isinstance(weight, int | float):
            return NotImplemented
        weights = [weight] if isinstance(weight, bool) else [weight * one.weight for one in _summands(self)]
        invalid = [one for one in weights if isinstance(one, bool) or not 0 <= one <= LARGEST]
        if invalid:
            raise InvalidLossError(
                f"A loss received the weight {invalid[0]}, but weights are finite numbers of at least 0 and at most "
                f"{LARGEST:g}: a "
                "negative weight rewards errors. Write for example 0.01 * centering."
            )
        summands = tuple(Summand(float(weight) * one.weight, one.expression) for one in _summands(self))
        return summands[0].expression if len(summands) == 1 and summands[0].weight == 1 else WeightedSum(summands)

    __rmul__ = __mul__


@dataclass(frozen=True)
class Loss(Expression, LossExpression, Generic[F]):
    """Base class of losses over one feedback type.

    A loss is a frozen dataclass whose fields are its options. Most losses derive from a family in
    `rlhf_losses.losses.families` and define one formula. A class derived from `Loss[Pairs]` has `Pairs` as
    `feedback_type`.

    Attributes:
        feedback_type: feedback type that `forward` accepts.
        properties: mathematical properties of the loss with its default options; see `active_properties`.
        uses_labels: whether the value depends on the annotations and not only on the scores; False for regularizers.
        rates_steps: whether the values of `Steps` are ratings; by default they are labels, and the sign of a score
            predicts the label.
        column_uses: what the loss does with optional columns of its feedback type, as the end of a sentence by name.
    """

    feedback_type: ClassVar[type[Feedback]] = Feedback
    properties: ClassVar[LossProperty] = LossProperty.NONE
    uses_labels: ClassVar[bool] = True
    rates_steps: ClassVar[bool] = False
    column_uses: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "feedback_type" in cls.__dict__:
            return
        for base in cls.__dict__.get("__orig_bases__", ()):
            arguments = [one for one in get_args(base) if isinstance(one, type) and issubclass(one, Feedback)]
            origin = get_origin(base)
            if arguments and isinstance(origin, type) and issubclass(origin, Loss):
                cls.feedback_type = arguments[0]

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        """The initial values of the trainable parameters of this loss, by name.

        A loss has no tensors: a trainer stores the parameters and passes them to `per_item_loss`.
        """
        return {}

    @property
    def required_columns(self) -> tuple[str, ...]:
        """The optional columns of `feedback_type` that this loss needs in every row.

        A batch of rows has one value for those without the column, see `optional_per_item`. A loss for which this value
        has another meaning than "unknown", such as a tie, names the column here: a row without it is refused.
        """
        return ()

    @abstractmethod
    def forward(self, scores: Scores, feedback: F, parameters: Parameters) -> PerItem:
        """Return one loss value per item, without averaging.

        Args:
            scores: scores in float32 or float64, of shape (scores).
            feedback: feedback of exactly `feedback_type`, with positions in `scores`.
            parameters: a vector for each name in `loss_parameters`.

        Returns:
            Values of shape (items).
        """

    def require_domain(self, feedback: F) -> None:
        """Raise `InvalidFeedbackError` for values outside the domain of the formula.

        Args:
            feedback: feedback of exactly `feedback_type`.
        """

    def check(self, feedback: Feedback) -> None:
        """Raise `InvalidFeedbackError` if this loss is not defined for the values of `feedback`.

        Args:
            feedback: feedback of any type that converts to `feedback_type`.
        """
        self.require_domain(self._converted(feedback))

    def with_outcomes(self, feedback: F) -> F:
        """Return feedback with the ties that this loss sees in it, for metrics; by default unchanged.

        Override it if the loss takes a tie from another field than `tie` and `preference`. The value of the loss stays
        the same.

        Args:
            feedback: feedback of exactly `feedback_type`.
        """
        return feedback

    def item_positions(self, scores: Scores, feedback: F) -> ItemIndex:
        """Return one position in `scores` for each item, which identifies the text and the prompt of the item.

        A loss of any `Feedback` has one item per score.
        """
        if self.feedback_type is Feedback:
            return torch.arange(len(scores), device=scores.device)
        return feedback.item_positions

    def active_properties(self) -> LossProperty:
        """Return the properties of this loss with its options."""
        return self.properties

    def initial_parameters(self, scores: Scores) -> dict[str, Tensor]:
        """Return `loss_parameters` as tensors on the device and in the dtype of `scores`."""
        return {name: scores.new_tensor(values) for name, values in self.loss_parameters.items()}

    def per_item_loss(self, scores: Scores, feedback: Feedback, parameters: Parameters | None = None) -> PerItem:
        """Return one loss value per item, as `reduction="none"` does in PyTorch.

        Args:
            scores: scores of any floating dtype, of shape (scores). Half precision is converted to float32.
            feedback: feedback of any type that converts to `feedback_type`.
            parameters: trainable parameters by name; by default their initial values.

        Returns:
            Values of shape (items), in float32 or float64.

        Raises:
            InvalidArgumentError: the scores are not a tensor, or `feedback` is not feedback.
            InvalidFeedbackError: the scores are not a vector, or feedback contains positions outside it.
            FeedbackMismatchError: the feedback does not convert to `feedback_type`.
            PluginError: `forward` returned a tensor of another shape.
        """
        require_vector(scores)
        scores, own = at_least_float32(scores), self._converted(feedback)
        all_parameters = {**self.initial_parameters(scores), **(parameters or {})}
        try:
            values = self.forward(scores, own, all_parameters)
        except IndexError:
            _require_positions(own, len(scores))
            raise
        self._require_one_value_per_item(values, scores, own)
        return values

    @explains_calls
    def __call__(self, scores: Scores, feedback: Feedback, parameters: Parameters | None = None) -> Scalar:
        """Return the mean of `per_item_loss` over items; 0 without items."""
        values = self.per_item_loss(scores, feedback, parameters)
        return values.mean() if len(values) else values.sum()

    def as_objective(self) -> "WeightedSum":
        """Return the objective with this loss as its only term."""
        return WeightedSum((Summand(1.0, self),))

    def _converted(self, feedback: Feedback) -> F:
        own = self.feedback_type.__name__ if self.feedback_type.columns else "Pairs"
        remedy = f"Construct it from positions in the scores, see help(rlhf_losses.{own})."
        require_instance(feedback, Feedback, "feedback", f"feedback such as {own}", remedy)
        return cast(F, feedback.convert_to(self.feedback_type))

    def _require_one_value_per_item(self, values: Tensor, scores: Scores, feedback: F) -> None:
        expected = len(self.item_positions(scores, feedback))
        if values.shape != (expected,):
            raise PluginError(
                f"{self.name()} returned a tensor of shape {tuple(values.shape)} for {expected} items, but a loss "
                "returns one value per item and does not average. Return a vector."
            )


@dataclass(frozen=True)
class Term:
    """One loss of an objective and its weight."""

    weight: float
    loss: Loss[Any]


class Objective(LossExpression):
    """A weighted sum of losses, which a trainer minimizes.

    Each term has its own feedback type and is averaged over its own items.
    """

    @property
    @abstractmethod
    def terms(self) -> tuple[Term, ...]:
        """The losses of the sum with their weights."""

    @property
    def term_names(self) -> tuple[str, ...]:
        """A unique name for each term; repeated losses are numbered.

        Examples:
            >>> from rlhf_losses.losses import bradley_terry, hinge
            >>> (hinge + bradley_terry + 0.5 * hinge).term_names
            ('hinge', 'bradley_terry', 'hinge#2')
        """
        names: list[str] = []
        for term in self.terms:
            name = term.loss.name()
            count = sum(other.split("#")[0] == name for other in names)
            names.append(f"{name}#{count + 1}" if count else name)
        return tuple(names)

    @property
    def uses_labels(self) -> bool:
        """Whether a term with a positive weight depends on the annotations."""
        return any(term.weight > 0 and term.loss.uses_labels for term in self.terms)

    @property
    def rates_steps(self) -> bool:
        """Whether the values of steps are ratings for a term, and labels for none."""
        stepwise = [term.loss.rates_steps for term in self.terms if term.loss.feedback_type is Steps]
        return bool(stepwise) and all(stepwise)

    def with_outcomes(self, feedback: F) -> F:
        """Return feedback with the ties that the terms which depend on labels see in it, for metrics.

        Args:
            feedback: feedback of any type.
        """
        if isinstance(feedback, Mixed):
            return cast(F, Mixed(tuple(map(self.with_outcomes, feedback.parts))))
        for one in (term.loss for term in self.terms if term.loss.uses_labels):
            if type(feedback) is one.feedback_type:
                feedback = one.with_outcomes(feedback)
        return feedback

    def active_properties(self) -> LossProperty:
        """Return the properties of the sum: those of all terms, as far as sums preserve them."""
        return reduce(and_, (term.loss.active_properties() for term in self.terms), _PRESERVED_BY_SUMS)

    def check(self, feedback: Feedback) -> None:
        """Raise `InvalidFeedbackError` if a term is not defined for the values of `feedback`."""
        for term in self.terms:
            term.loss.check(feedback)

    @explains_calls
    def __call__(self, scores: Scores, feedback: Feedback, parameters: Sequence[Parameters] | None = None) -> Scalar:
        """Return the weighted sum of the mean of each term over its items.

        Args:
            scores: scores of shape (scores).
            feedback: feedback that converts to the type of each term.
            parameters: trainable parameters of each term; by default their initial values.
        """
        each = parameters or [{}] * len(self.terms)
        means = [term.weight * term.loss(scores, feedback, one) for term, one in zip(self.terms, each, strict=True)]
        return torch.stack(means).sum()

    def as_objective(self) -> "Objective":
        """Return the objective itself."""
        return self


@dataclass(frozen=True)
class Summand:
    """One loss or named objective of a sum as it is written, and its weight."""

    weight: float
    expression: "Loss[Any] | NamedObjective"

    def __str__(self) -> str:
        return str(self.expression) if self.weight == 1 else f"{_shortest(self.weight)} * {self.expression}"


@dataclass(frozen=True)
class WeightedSum(Objective):
    """A sum of losses and named objectives with weights of at least 0.

    Attributes:
        summands: losses and named objectives as they are written; `terms` expands the named objectives.

    Examples:
        >>> from rlhf_losses.losses import bradley_terry, centering
        >>> print(bradley_terry + 0.01 * centering)
        bradley_terry + 0.01 * centering
    """

    summands: tuple[Summand, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """The losses of the sum, with named objectives expanded."""
        return tuple(
            Term(one.weight * inner.weight, inner.loss) for one in self.summands for inner in _terms(one.expression)
        )

    def __str__(self) -> str:
        return " + ".join(map(str, self.summands))

    def __repr__(self) -> str:
        return f"WeightedSum('{self}')"


@dataclass(frozen=True)
class NamedObjective(Expression, Objective):
    """An objective with a name and options, such as `centered_bradley_terry`.

    It is a frozen dataclass whose fields are its options. `expand` returns the equivalent sum.

    Attributes:
        feedback_type: feedback type that all its terms accept.
    """

    feedback_type: ClassVar[type[Feedback]] = Feedback

    @abstractmethod
    def expand(self) -> "AnyLoss":
        """Return the equivalent sum of losses."""

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms of the equivalent sum."""
        return self.expand().as_objective().terms


AnyLoss: TypeAlias = Loss[Any] | Objective
"""A loss, or a weighted sum of losses."""


def at_least_float32(scores: Scores) -> Scores:
    """Return scores in float32, or unchanged in float64; in bfloat16, 16.0 and 16.05 are equal."""
    return scores if scores.dtype == torch.float64 else scores.float()


def require_vector(scores: Tensor) -> None:
    """Raise `InvalidFeedbackError` unless scores are a vector; a column of shape (n, 1) would broadcast to (n, n)."""
    require_instance(scores, Tensor, "scores", "a tensor", "Pass torch.tensor(scores).")
    if scores.ndim != 1:
        is_column = scores.numel() == max(scores.shape, default=1)
        raise InvalidFeedbackError(
            f"Scores have the shape {tuple(scores.shape)}, but feedback contains positions in a vector. "
            f"Pass {'scores.reshape(-1)' if is_column else 'one score per text'}."
        )


def _refuse_term(term: object) -> None:
    """Raise `InvalidArgumentError` if a term of a sum is a string or a class in place of a loss."""
    if isinstance(term, str | type):
        written = f"parse_loss({term!r})" if isinstance(term, str) else f"{term.__name__}()"
        raise InvalidArgumentError(f"A term of the sum {describe_type(term)}, but terms are losses. Write {written}.")


def _require_positions(feedback: Feedback, count: int) -> None:
    """Raise `InvalidFeedbackError` if feedback contains positions outside a vector of scores."""
    if feedback.score_count() > count:
        raise InvalidFeedbackError(
            f"{type(feedback).__name__} contains the position {feedback.score_count() - 1}, but there are {count} "
            "scores, with positions from 0. Correct the positions, or pass one score per text."
        )


def _summands(expression: LossExpression) -> tuple[Summand, ...]:
    if isinstance(expression, WeightedSum):
        return expression.summands
    assert isinstance(expression, Loss | NamedObjective)
    return (Summand(1.0, expression),)


def _terms(expression: "Loss[Any] | NamedObjective") -> tuple[Term, ...]:
    return (Term(1.0, expression),) if isinstance(expression, Loss) else expression.terms


def _shortest(weight: float) -> str:
    return str(int(weight)) if weight == int(weight) and weight < 1e9 else repr(weight)
