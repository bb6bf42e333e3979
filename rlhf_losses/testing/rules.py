"""The rules that every loss keeps: what it is, what it gives for each item, and its gradient."""

import math
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from rlhf_losses.feedback import Feedback, Rankings
from rlhf_losses.hooks.registry import require_contract
from rlhf_losses.losses import BatchLoss, Loss, WeightedSum
from rlhf_losses.losses.parser import parse
from rlhf_losses.testing.examples import batches_for, join
from rlhf_losses.testing.trials import costs_of, is_close, scored_batches, scored_batches_in, told

Rule = Callable[[Any], None]
"""A rule raises, with what it saw, if the loss breaks it; its docstring is how the rule is told."""


def _is_a_documented_frozen_dataclass(loss: Any) -> None:
    """A loss is an object of a documented, frozen dataclass with a default for every option."""
    if isinstance(loss, type):
        raise AssertionError(f"It is a class. Check an object: check_loss({loss.__name__}()).")
    for part in loss.parts if isinstance(loss, WeightedSum) else ():
        _is_a_documented_frozen_dataclass(part.loss)
    if not isinstance(loss, WeightedSum):
        require_contract(type(loss), type(loss).__module__)


def _its_text_parses_back(loss: Loss) -> None:
    """The text of a loss parses back to the same loss."""
    back = parse(str(loss), {kind.name(): kind for kind in _classes(loss)})
    if back != loss or hash(back) != hash(loss):
        raise AssertionError(f'"{loss}" parses to {back!r}, which is not {loss!r}. Let options be numbers or texts.')


def _classes(loss: Loss) -> Iterator[type[Loss]]:
    if isinstance(loss, WeightedSum):
        for part in loss.parts:
            yield from _classes(part.loss)
    else:
        yield type(loss)
        for option in (getattr(loss, f.name) for f in fields(loss)):
            if isinstance(option, Loss):
                yield from _classes(option)


def _prices_every_item(loss: Loss) -> None:
    """A loss gives one finite number an item, in float32, at ordinary and at extreme scores."""
    for dtype, (rows, scores) in scored_batches_in(loss, torch.float32, torch.bfloat16):
        items = loss.per_item_loss(scores, join(rows))
        if items.dtype != torch.float32:
            raise AssertionError(f"Scores in {dtype} cost numbers in {items.dtype}. Keep the type of the scores given.")
        if not bool(torch.isfinite(items).all()):
            raise AssertionError(
                f"The scores {told(scores)} cost {told(items)}. "
                "Rewrite the formula for large scores, like logsigmoid(score_difference) for log(sigmoid(score_difference))."
            )


def _joins_rows(loss: Loss) -> None:
    """Rows cost the same alone and in a batch, in whatever order they come."""
    for rows, scores in scored_batches(loss, torch.float64, spreads=(1.0, 10.0)):
        parts = scores.split([row.score_count() for row in rows])
        alone = [loss.per_item_loss(part, row) for part, row in zip(parts, rows, strict=True)]
        for order in (list(range(len(rows))), list(range(len(rows)))[::-1]):
            batch = loss.per_item_loss(torch.cat([parts[i] for i in order]), join([rows[i] for i in order]))
            expected = torch.cat([alone[i] for i in order])
            if not is_close(batch, expected):
                raise AssertionError(
                    f"In a batch the rows cost {told(batch)}, alone {told(expected)}. "
                    "Price each item from its own scores only, and leave averages over items to the trainer."
                )


def _may_be_cut(loss: BatchLoss) -> None:
    """At given means, rows cost the same in one batch and in several, and their costs have the mean that is named."""
    for rows, scores in scored_batches(loss, torch.float64, spreads=(1.0, 10.0)):
        said = join(rows)
        means = loss.moments(scores, said).mean(dim=0)
        parts = zip(scores.split([row.score_count() for row in rows]), rows, strict=True)
        apart = torch.cat([loss.forward(part, row, means=means) for part, row in parts])
        together = loss.forward(scores, said)
        if not is_close(apart, together) or not is_close(together.mean()[None], loss.of_means(means)[None]):
            raise AssertionError(
                f"Together the rows cost {told(together)}, cut {told(apart)}, and of_means says "
                f"{float(loss.of_means(means)):.4g}. Let moments be those of each item, and define no items."
            )


def _ignores_the_order_in_lists(loss: Loss) -> None:
    """A list costs the same in whatever order its answers are written."""
    for rows, scores in scored_batches(loss, torch.float64, spreads=(1.0, 10.0)):
        for row in (row for row in rows if isinstance(row, Rankings)):
            assert row.grades is not None
            turned = Rankings(row.candidates.flip(0), row.ranks.flip(0), row.sizes, row.grades.flip(0))
            here, there = loss.per_item_loss(scores, row), loss.per_item_loss(scores, turned)
            if not is_close(here, there):
                raise AssertionError(
                    f"The ranks {row.ranks.tolist()} cost {told(here)}, written backwards {told(there)}. "
                    "Read who is better from the ranks, not from the places of the answers."
                )


def _prices_nothing_at_nothing(loss: Loss) -> None:
    """Feedback without items gives an empty vector that can be differentiated, with gradient zero."""
    nothing = type(batches_for(loss)[0][0]).concatenate([])
    # A regularizer has an item a score, so that it has none only without scores.
    for count in (0,) if loss.feedback_type is Feedback else (0, 3):
        scores = torch.zeros(count, requires_grad=True)
        items = loss.per_item_loss(scores, nothing)
        if not items.requires_grad:
            raise AssertionError(
                "The empty vector is cut off from the scores, so a batch without items cannot be differentiated. "
                "Return scores[:0]."
            )
        (gradient,) = torch.autograd.grad(items.sum(), scores, materialize_grads=True)
        if bool(gradient.any()):
            raise AssertionError(f"Nothing was said, yet the gradient is {told(gradient)}. Return scores[:0].")


def _learns_its_numbers(loss: Loss) -> None:
    """Numbers that a loss learns start at finite values, change its costs, and have the gradient of their value."""
    for name, start in loss.loss_parameters.items():
        if not name.isidentifier() or not start or not all(math.isfinite(value) for value in start):
            raise AssertionError(
                f"learned has {name!r} with the start {start!r}. "
                "Give a name that can be an argument of items, and a tuple of finite numbers."
            )
    moved = {name: False for name in loss.loss_parameters}
    for rows, scores in scored_batches(loss, torch.float64, spreads=(1.0, 3.0), ties=False) if moved else ():
        numbers = {name: scores.new_tensor(start).requires_grad_() for name, start in loss.loss_parameters.items()}
        said = join(rows)
        total = loss.per_item_loss(scores, said, numbers).sum()
        if total.requires_grad:
            gradients = torch.autograd.grad(total, list(numbers.values()), materialize_grads=True)
            moved = {name: moved[name] or bool(g.any()) for name, g in zip(numbers, gradients, strict=True)}

        def priced(*values: Tensor, scores: Tensor = scores, said: Feedback = said) -> Tensor:
            return loss.per_item_loss(scores, said, dict(zip(loss.loss_parameters, values, strict=True)))

        torch.autograd.gradcheck(priced, tuple(numbers.values()))
    still = [name for name, changes in moved.items() if not changes]
    if still:
        raise AssertionError(
            f"No cost depends on {', '.join(still)}. Use what items gets, or do not name it in learned."
        )


def _has_finite_gradients(loss: Loss) -> None:
    """Gradients are finite at ordinary and extreme scores, also for scores in bfloat16."""
    for dtype, (rows, scores) in scored_batches_in(loss, torch.float32, torch.bfloat16):
        total = loss(scores.requires_grad_(), join(rows))
        (gradient,) = torch.autograd.grad(total, scores, materialize_grads=True)
        if not bool(torch.isfinite(gradient).all()):
            raise AssertionError(
                f"At the scores {told(scores)} in {dtype} the gradient is {told(gradient)}. "
                "Look for 0 * inf: torch.where differentiates both of its sides."
            )


def _has_the_gradient_of_its_value(loss: Loss) -> None:
    """The gradient is that of the value, by finite differences in float64."""
    for rows, scores in scored_batches(loss, torch.float64, spreads=(1.0, 3.0), ties=False):
        torch.autograd.gradcheck(lambda s, rows=rows: costs_of(loss, s, rows), scores.requires_grad_())


FORM_RULES: list[Rule] = [_is_a_documented_frozen_dataclass, _its_text_parses_back]
ITEM_RULES: list[Rule] = [
    _prices_every_item,
    _joins_rows,
    _ignores_the_order_in_lists,
    _prices_nothing_at_nothing,
    _learns_its_numbers,
]
BATCHWIDE_RULES: list[Rule] = [_prices_every_item, _may_be_cut, _prices_nothing_at_nothing, _learns_its_numbers]
GRADIENT_RULES: list[Rule] = [_has_finite_gradients, _has_the_gradient_of_its_value]
