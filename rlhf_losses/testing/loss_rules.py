"""The rules of every loss: its declaration, its values per item, and its gradient."""

import math
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from rlhf_losses.feedback import Feedback, Pairs, Rankings
from rlhf_losses.hooks.contracts import LOSSES
from rlhf_losses.losses import AnyLoss, BatchLoss, Loss, NamedObjective, WeightedSum
from rlhf_losses.losses.parser import parse
from rlhf_losses.testing.examples import accepts, example_batches_for, join
from rlhf_losses.testing.feedback_variants import opposite, possible_feedback
from rlhf_losses.testing.rule_helpers import Rule
from rlhf_losses.testing.scored_examples import (
    format_values,
    is_close,
    loss_values,
    scored_examples,
    scored_examples_in,
    split_scores,
)


def _is_a_documented_frozen_dataclass(loss: Any) -> None:
    """A loss is an instance of a documented, frozen dataclass with a default for every option."""
    if isinstance(loss, type):
        raise AssertionError(f"The argument is a class. Pass an instance: check_loss({loss.__name__}()).")
    if isinstance(loss, WeightedSum):
        for summand in loss.summands:
            _is_a_documented_frozen_dataclass(summand.expression)
    else:
        LOSSES.validate(type(loss), type(loss).__module__)


def _its_string_form_parses_back(loss: AnyLoss) -> None:
    """The string form of a loss parses to an equal loss."""
    parsed = parse(str(loss), {found.name(): found for found in _classes(loss)})
    if parsed != loss or hash(parsed) != hash(loss):
        raise AssertionError(
            f'"{loss}" parses to {parsed!r}, which is not {loss!r}. Use numbers and strings as options.'
        )


def _classes(loss: AnyLoss) -> Iterator[Any]:
    """Yield the class of a loss and of the losses in its options, or those of each summand."""
    if isinstance(loss, WeightedSum):
        for summand in loss.summands:
            yield from _classes(summand.expression)
        return
    yield type(loss)
    assert isinstance(loss, Loss | NamedObjective)
    for option in (getattr(loss, f.name) for f in fields(loss)):
        if isinstance(option, Loss | NamedObjective):
            yield from _classes(option)


def _declares_uses_labels(loss: AnyLoss) -> None:
    """`uses_labels` is True if other feedback on the same scores changes a value, and False otherwise."""
    changes = any(_differs(loss, scores, one, other) for scores, one, other in _same_scores_other_feedback(loss))
    if changes and not loss.uses_labels:
        raise AssertionError("Other feedback on the same scores changes a value. Set uses_labels = True.")
    if loss.uses_labels and not changes:
        raise AssertionError("No other feedback on the same scores changes a value. Set uses_labels = False.")


def _same_scores_other_feedback(loss: AnyLoss) -> Iterator[tuple[Tensor, Feedback, Feedback]]:
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0,), ties=False):
        feedback = join(rows)
        for other in (opposite(feedback), *_other_pairs(feedback)):
            yield scores, feedback, other
    for feedback_type in {term.loss.feedback_type for term in loss.as_objective().terms}:
        for first, *others in possible_feedback(feedback_type, loss):
            scores = torch.linspace(-1.0, 2.0, first.score_count(), dtype=torch.float64)
            yield from ((scores, first, other) for other in others)


def _other_pairs(feedback: Feedback) -> Iterator[Feedback]:
    """Yield the same pairs with other margins, and as ties."""
    if isinstance(feedback, Pairs):
        count = len(feedback)
        margin = torch.zeros(count) if feedback.margin is None else feedback.margin
        yield replace(feedback, margin=margin + 1)
        yield replace(feedback, preference=torch.full((count,), 0.5), tie=torch.ones(count))


def _differs(loss: AnyLoss, scores: Tensor, one: Feedback, other: Feedback) -> bool:
    return accepts(loss, other) and not torch.equal(loss(scores, one), loss(scores, other))


def _names_optional_columns(loss: AnyLoss) -> None:
    """The columns in `required_columns` and `column_uses` are optional columns of the feedback type."""
    for one in (term.loss for term in loss.as_objective().terms):
        for attribute, names in (("required_columns", one.required_columns), ("column_uses", one.column_uses)):
            unknown = set(names) - set(one.feedback_type.optional_columns)
            if unknown:
                raise AssertionError(
                    f"{attribute} of {one} has {min(unknown)!r}, which is no optional column of "
                    f"{one.feedback_type.__name__}. Name one of {', '.join(one.feedback_type.optional_columns)}."
                )


def _has_the_value_of_its_outcomes(loss: AnyLoss) -> None:
    """The value of a loss is the same for the feedback that `with_outcomes` returns."""
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0,), ties=False):
        feedback = join(rows)
        value, other = (loss(scores, one)[None] for one in (feedback, loss.as_objective().with_outcomes(feedback)))
        if not is_close(other, value):
            raise AssertionError(
                f"The value is {format_values(value)}, and {format_values(other)} for the feedback of with_outcomes. "
                "Change only outcomes that forward reads in the same way."
            )


def _has_one_finite_value_per_item(loss: Loss[Any]) -> None:
    """A loss returns one finite value per item in float32, at ordinary and at extreme scores."""
    for dtype, rows, scores in scored_examples_in(loss, torch.float32, torch.bfloat16):
        values = loss.per_item_loss(scores, join(rows))
        if values.dtype != torch.float32:
            raise AssertionError(
                f"Scores in {dtype} have values in {values.dtype}. Keep the dtype of the scores that forward receives."
            )
        if not bool(torch.isfinite(values).all()):
            raise AssertionError(
                f"The scores {format_values(scores)} have the values {format_values(values)}. Use a formula that is "
                "stable for large scores, like logsigmoid(x) instead of log(sigmoid(x))."
            )


def _rows_are_independent(loss: Loss[Any]) -> None:
    """The values of a row are the same alone and in a batch, in any order of the rows."""
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0, 10.0)):
        parts = split_scores(scores, rows)
        alone = [loss.per_item_loss(part, row) for part, row in zip(parts, rows, strict=True)]
        for order in (list(range(len(rows))), list(range(len(rows)))[::-1]):
            batch = loss.per_item_loss(torch.cat([parts[i] for i in order]), join([rows[i] for i in order]))
            expected = torch.cat([alone[i] for i in order])
            if not is_close(batch, expected):
                raise AssertionError(
                    f"The rows have the values {format_values(batch)} in a batch and {format_values(expected)} alone. "
                    "Compute each item from its own scores, and do not average over items."
                )


def _splits_into_forward_passes(loss: BatchLoss[Any]) -> None:
    """With given means, the values of a row do not depend on the batch, and the mean of all values is `of_means`."""
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0, 10.0)):
        feedback = join(rows)
        means = loss.moments_of(scores, feedback).mean(dim=0)
        parts = zip(split_scores(scores, rows), rows, strict=True)
        separate = torch.cat([loss.per_item_loss_at(part, row, means) for part, row in parts])
        whole = loss.per_item_loss(scores, feedback)
        if not is_close(separate, whole) or not is_close(whole.mean()[None], loss.of_means(means)[None]):
            raise AssertionError(
                f"The values are {format_values(whole)} in one batch and {format_values(separate)} in parts, and "
                f"of_means returns {float(loss.of_means(means)):.4g}. Compute each moment from one item, and do not "
                "override forward."
            )


def _ignores_the_order_of_candidates(loss: Loss[Any]) -> None:
    """The value of a list does not depend on the order of its candidates."""
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0, 10.0)):
        for row in (row for row in rows if isinstance(row, Rankings)):
            assert row.grades is not None
            reversed_row = Rankings(row.candidates.flip(0), row.ranks.flip(0), row.sizes, row.grades.flip(0))
            value, other = loss.per_item_loss(scores, row), loss.per_item_loss(scores, reversed_row)
            if not is_close(value, other):
                raise AssertionError(
                    f"A list with the ranks {row.ranks.tolist()} has the value {format_values(value)}, and "
                    f"{format_values(other)} in reversed order. Use the ranks, not the positions in the list."
                )


def _accepts_no_items(loss: Loss[Any]) -> None:
    """Feedback without items gives an empty vector with gradient 0."""
    empty = type(example_batches_for(loss)[0][0]).concatenate([])
    # A regularizer has one item per score, so it has no items only without scores.
    for count in (0,) if loss.feedback_type is Feedback else (0, 3):
        scores = torch.zeros(count, requires_grad=True)
        values = loss.per_item_loss(scores, empty)
        if not values.requires_grad:
            raise AssertionError(
                "The empty vector has no gradient function, so the backward pass of a batch without items fails. "
                "Return scores[:0]."
            )
        (gradient,) = torch.autograd.grad(values.sum(), scores, materialize_grads=True)
        if bool(gradient.any()):
            raise AssertionError(
                f"Feedback without items has the gradient {format_values(gradient)}. Return scores[:0]."
            )


def _uses_its_parameters(loss: Loss[Any]) -> None:
    """Loss parameters have finite initial values, change the loss, and have correct gradients."""
    for name, values in loss.loss_parameters.items():
        if not name.isidentifier() or not values or not all(math.isfinite(value) for value in values):
            raise AssertionError(
                f"loss_parameters has {name!r} with the initial values {values!r}. Use an identifier as name, and a "
                "tuple of finite numbers."
            )
    unused = set(loss.loss_parameters)
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0, 3.0), ties=False) if unused else ():
        parameters = {name: value.requires_grad_() for name, value in loss.initial_parameters(scores).items()}
        feedback = join(rows)
        total = loss.per_item_loss(scores, feedback, parameters).sum()
        if total.requires_grad:
            gradients = torch.autograd.grad(total, list(parameters.values()), materialize_grads=True)
            unused -= {name for name, gradient in zip(parameters, gradients, strict=True) if bool(gradient.any())}

        def values_of(*values: Tensor, scores: Tensor = scores, feedback: Feedback = feedback) -> Tensor:
            return loss.per_item_loss(scores, feedback, dict(zip(loss.loss_parameters, values, strict=True)))

        torch.autograd.gradcheck(values_of, tuple(parameters.values()))
    if unused:
        raise AssertionError(
            f"No value depends on {', '.join(sorted(unused))}. Use it in forward, or remove it from loss_parameters."
        )


def _has_finite_gradients(loss: AnyLoss) -> None:
    """Gradients are finite at ordinary and at extreme scores, also for scores in bfloat16."""
    for dtype, rows, scores in scored_examples_in(loss, torch.float32, torch.bfloat16):
        total = loss(scores.requires_grad_(), join(rows))
        (gradient,) = torch.autograd.grad(total, scores, materialize_grads=True)
        if not bool(torch.isfinite(gradient).all()):
            raise AssertionError(
                f"The scores {format_values(scores)} in {dtype} have the gradient {format_values(gradient)}. Look for "
                "0 * inf; torch.where differentiates both branches."
            )


def _has_correct_gradients(loss: AnyLoss) -> None:
    """The gradient equals finite differences of the value in float64."""
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0, 3.0), ties=False):
        torch.autograd.gradcheck(lambda s, rows=rows: loss_values(loss, s, rows), scores.requires_grad_())


FORM_RULES: list[Rule] = [_is_a_documented_frozen_dataclass, _its_string_form_parses_back]
"""Rules of losses and objectives, before all others."""

ITEM_RULES: list[Rule] = [
    _has_one_finite_value_per_item,
    _rows_are_independent,
    _ignores_the_order_of_candidates,
    _accepts_no_items,
    _uses_its_parameters,
]
"""Rules of losses, except those of the class `BatchLoss`."""

BATCH_RULES: list[Rule] = [
    _has_one_finite_value_per_item,
    _splits_into_forward_passes,
    _accepts_no_items,
    _uses_its_parameters,
]
"""Rules of the class `BatchLoss`."""

GRADIENT_RULES: list[Rule] = [_has_finite_gradients, _has_correct_gradients]
"""Rules of losses and objectives, after those of values per item."""

DECLARATION_RULES: list[Rule] = [
    _declares_uses_labels,
    _names_optional_columns,
    _has_the_value_of_its_outcomes,
]
"""Rules of losses and objectives, before those of properties."""
