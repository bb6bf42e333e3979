"""The contract of a loss, rule by rule. `check_loss(Focal())` is all that a plugin's test needs."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from rlhf_losses.feedback import Feedback, Rankings
from rlhf_losses.hooks.registry import require_contract
from rlhf_losses.losses import BatchwideLoss, Claims, Loss, Sum
from rlhf_losses.losses.expression import parse
from rlhf_losses.testing.approval import verdict
from rlhf_losses.testing.counterparts import alternatives, in_another_unit, opposite
from rlhf_losses.testing.examples import Rows, accepts, batches_for, join

Rule = Callable[[Any], None]
"""A rule raises, with what it saw, if the loss breaks it; its docstring is how the rule is told."""

_SEED = 0


def check_loss(loss: Loss) -> None:
    """Raise `AssertionError`, with the loss, the rule and what was seen, unless `loss` keeps the contract.

    A sum of losses is checked term by term and then as a whole. What a loss claims of itself is checked
    too, on the options that it is given with.

    >>> from rlhf_losses.losses import bradley_terry, centering
    >>> check_loss(bradley_terry + 0.01 * centering)
    """
    _follow(_is_a_documented_frozen_dataclass, loss)
    _follow(_its_text_parses_back, loss)
    if _is_sum(loss):
        for term in loss.terms:
            check_loss(term.loss)
    else:
        for rule in BATCHWIDE_RULES if isinstance(loss, BatchwideLoss) else ITEM_RULES:
            _follow(rule, loss)
    for rule in RULES + [CLAIM_RULES[claim] for claim in loss.claims]:
        _follow(rule, loss)


def _is_a_documented_frozen_dataclass(loss: Any) -> None:
    """A loss is an object of a documented, frozen dataclass with a default for every option."""
    if isinstance(loss, type):
        raise AssertionError(f"It is a class. Check an object: check_loss({loss.__name__}()).")
    for part in loss.parts if isinstance(loss, Sum) else ():
        _is_a_documented_frozen_dataclass(part.loss)
    if not isinstance(loss, Sum):
        require_contract(type(loss), type(loss).__module__)


def _its_text_parses_back(loss: Loss) -> None:
    """The text of a loss parses back to the same loss."""
    back = parse(str(loss), {kind.name(): kind for kind in _classes(loss)})
    if back != loss or hash(back) != hash(loss):
        raise AssertionError(f'"{loss}" parses to {back!r}, which is not {loss!r}. Let options be numbers or texts.')


def _prices_every_item(loss: Loss) -> None:
    """A loss gives one finite number an item, in float32, at ordinary and at extreme scores."""
    for dtype, (rows, scores) in _in_types(loss, torch.float32, torch.bfloat16):
        items = loss.price(scores, join(rows))
        if items.dtype != torch.float32:
            raise AssertionError(f"Scores in {dtype} cost numbers in {items.dtype}. Keep the type of the scores given.")
        if not bool(torch.isfinite(items).all()):
            raise AssertionError(
                f"The scores {_told(scores)} cost {_told(items)}. "
                "Rewrite the formula for large scores, like logsigmoid(lead) for log(sigmoid(lead))."
            )


def _joins_rows(loss: Loss) -> None:
    """Rows cost the same alone and in a batch, in whatever order they come."""
    for rows, scores in _batches(loss, torch.float64, spreads=(1.0, 10.0)):
        parts = scores.split([row.score_count() for row in rows])
        alone = [loss.price(part, row) for part, row in zip(parts, rows, strict=True)]
        for order in (list(range(len(rows))), list(range(len(rows)))[::-1]):
            batch = loss.price(torch.cat([parts[i] for i in order]), join([rows[i] for i in order]))
            expected = torch.cat([alone[i] for i in order])
            if not _close(batch, expected):
                raise AssertionError(
                    f"In a batch the rows cost {_told(batch)}, alone {_told(expected)}. "
                    "Price each item from its own scores only, and leave averages over items to the trainer."
                )


def _may_be_cut(loss: BatchwideLoss) -> None:
    """At given means, rows cost the same in one batch and in several, and their costs have the mean that is named."""
    for rows, scores in _batches(loss, torch.float64, spreads=(1.0, 10.0)):
        said = join(rows)
        means = loss.moments(scores, said).mean(dim=0)
        parts = zip(scores.split([row.score_count() for row in rows]), rows, strict=True)
        apart = torch.cat([loss.items(part, row, means=means) for part, row in parts])
        together = loss.items(scores, said)
        if not _close(apart, together) or not _close(together.mean()[None], loss.of_means(means)[None]):
            raise AssertionError(
                f"Together the rows cost {_told(together)}, cut {_told(apart)}, and of_means says "
                f"{float(loss.of_means(means)):.4g}. Let moments be those of each item, and define no items."
            )


def _ignores_the_order_in_lists(loss: Loss) -> None:
    """A list costs the same in whatever order its answers are written."""
    for rows, scores in _batches(loss, torch.float64, spreads=(1.0, 10.0)):
        for row in (row for row in rows if isinstance(row, Rankings)):
            assert row.grades is not None
            turned = Rankings(row.candidates.flip(0), row.ranks.flip(0), row.sizes, row.grades.flip(0))
            here, there = loss.price(scores, row), loss.price(scores, turned)
            if not _close(here, there):
                raise AssertionError(
                    f"The ranks {row.ranks.tolist()} cost {_told(here)}, written backwards {_told(there)}. "
                    "Read who is better from the ranks, not from the places of the answers."
                )


def _prices_nothing_at_nothing(loss: Loss) -> None:
    """Feedback without items gives an empty vector that can be differentiated, with gradient zero."""
    nothing = type(batches_for(loss)[0][0]).concatenate([])
    # A regularizer has an item a score, so that it has none only without scores.
    for count in (0,) if loss.reads is Feedback else (0, 3):
        scores = torch.zeros(count, requires_grad=True)
        items = loss.price(scores, nothing)
        if not items.requires_grad:
            raise AssertionError(
                "The empty vector is cut off from the scores, so a batch without items cannot be differentiated. "
                "Return scores[:0]."
            )
        (gradient,) = torch.autograd.grad(items.sum(), scores, materialize_grads=True)
        if bool(gradient.any()):
            raise AssertionError(f"Nothing was said, yet the gradient is {_told(gradient)}. Return scores[:0].")


def _has_finite_gradients(loss: Loss) -> None:
    """Gradients are finite at ordinary and extreme scores, also for scores in bfloat16."""
    for dtype, (rows, scores) in _in_types(loss, torch.float32, torch.bfloat16):
        total = loss(scores.requires_grad_(), join(rows))
        (gradient,) = torch.autograd.grad(total, scores, materialize_grads=True)
        if not bool(torch.isfinite(gradient).all()):
            raise AssertionError(
                f"At the scores {_told(scores)} in {dtype} the gradient is {_told(gradient)}. "
                "Look for 0 * inf: torch.where differentiates both of its sides."
            )


def _has_the_gradient_of_its_value(loss: Loss) -> None:
    """The gradient is that of the value, by finite differences in float64."""
    for rows, scores in _batches(loss, torch.float64, spreads=(1.0, 3.0), ties=False):
        torch.autograd.gradcheck(lambda s, rows=rows: _costs(loss, s, rows), scores.requires_grad_())


def _learns_its_numbers(loss: Loss) -> None:
    """Numbers that a loss learns start at finite values, change its costs, and have the gradient of their value."""
    for name, start in loss.learned.items():
        if not name.isidentifier() or not start or not all(math.isfinite(value) for value in start):
            raise AssertionError(
                f"learned has {name!r} with the start {start!r}. "
                "Give a name that can be an argument of items, and a tuple of finite numbers."
            )
    moved = {name: False for name in loss.learned}
    for rows, scores in _batches(loss, torch.float64, spreads=(1.0, 3.0), ties=False) if moved else ():
        numbers = {name: scores.new_tensor(start).requires_grad_() for name, start in loss.learned.items()}
        said = join(rows)
        total = loss.price(scores, said, numbers).sum()
        if total.requires_grad:
            gradients = torch.autograd.grad(total, list(numbers.values()), materialize_grads=True)
            moved = {name: moved[name] or bool(g.any()) for name, g in zip(numbers, gradients, strict=True)}

        def priced(*values: Tensor, scores: Tensor = scores, said: Feedback = said) -> Tensor:
            return loss.price(scores, said, dict(zip(loss.learned, values, strict=True)))

        torch.autograd.gradcheck(priced, tuple(numbers.values()))
    still = [name for name, changes in moved.items() if not changes]
    if still:
        raise AssertionError(
            f"No cost depends on {', '.join(still)}. Use what items gets, or do not name it in learned."
        )


def _may_be_shifted(loss: Loss) -> None:
    """It claims to be shift invariant: a constant added to all scores changes no cost."""
    for rows, scores in _batches(loss, torch.float64, spreads=(1.0, 10.0)):
        before = _costs(loss, scores, rows)
        for shift in (-3.0, 100.0):
            after = _costs(loss, scores + shift, rows)
            if not _close(after, before):
                raise AssertionError(
                    f"The scores {_told(scores)} cost {_told(before)}, and with {shift:g} added {_told(after)}. "
                    "Drop SHIFT_INVARIANT from claims."
                )


def _has_no_unit(loss: Loss) -> None:
    """It claims to be homogeneous: in another unit of scores, margins and ratings, all costs change by one factor."""
    factors: dict[float, float] = {}
    for rows, scores in _batches(loss, torch.float64, spreads=(1.0, 10.0)):
        said = join(rows)
        before = _costs(loss, scores, (said,))
        for unit in (2.0, 8.0):
            other = in_another_unit(said, unit)
            after = _costs(loss, unit * scores, (other,)) if accepts(loss, other) else None
            largest = int(before.abs().argmax())
            if unit not in factors and after is not None and before[largest] != 0:
                factors[unit] = float(after[largest] / before[largest])
            expected = factors.get(unit, 0.0) * before
            if after is None or not _close(after, expected):
                raise AssertionError(
                    f"The scores {_told(scores)} cost {_told(before)}, and in a unit {unit:g} times smaller "
                    f"{'nothing, because the loss refuses that' if after is None else _told(after)}. "
                    "Drop HOMOGENEOUS from claims."
                )
    if factors and not math.isclose(factors[2.0] ** 3, factors[8.0], rel_tol=1e-6):
        raise AssertionError(
            f"In a unit 2 times smaller costs are {factors[2.0]:.4g} times as high, in one 8 times smaller "
            f"{factors[8.0]:.4g} times, which is no power of it. Drop HOMOGENEOUS from claims."
        )


def _rewards_approval(loss: Loss) -> None:
    """It claims to be monotone: a higher score for what people approved of never costs more."""
    for rows, scores in _batches(loss, torch.float64, spreads=(1.0, 3.0, 10.0, 10.0, 30.0)):
        before = _costs(loss, scores, rows)
        for positions, step in _better(*verdict(join(rows))):
            better = scores.index_add(0, positions, scores.new_full((len(positions),), step))
            after = _costs(loss, better, rows)
            if bool((after > before + _tolerance(before)).any()):
                raise AssertionError(
                    f"The scores {_told(scores)} cost {_told(before)}, and the better ones {_told(better)} cost "
                    f"{_told(after)}. Drop MONOTONE from claims."
                )


def _costs_no_less_than_nothing(loss: Loss) -> None:
    """It claims to be non-negative: nothing costs less than nothing."""
    for rows, scores in _batches(loss, torch.float64):
        costs = _costs(loss, scores, rows)
        if bool((costs < -_tolerance(costs)).any()):
            raise AssertionError(f"The scores {_told(scores)} cost {_told(costs)}. Drop NON_NEGATIVE from claims.")


def _is_convex(loss: Loss) -> None:
    """It claims to be convex: between two vectors of scores the cost lies on or below the straight line."""
    for rows, here, there in _lines(loss):
        ends = (_costs(loss, here, rows) + _costs(loss, there, rows)) / 2
        middle = _costs(loss, (here + there) / 2, rows)
        if bool((middle > ends + _tolerance(ends)).any()):
            raise AssertionError(
                f"Halfway between {_told(here)} and {_told(there)} the cost is {_told(middle)}, above {_told(ends)}, "
                "the mean of both. Drop CONVEX from claims."
            )


def _may_be_reversed(loss: Loss) -> None:
    """It claims to be reversible: the opposite feedback on negated scores costs the same."""
    for rows, scores in _batches(loss, torch.float64, spreads=(1.0, 10.0)):
        said = join(rows)
        turned = opposite(said)
        here = _costs(loss, scores, (said,))
        there = _costs(loss, -scores, (turned,)) if accepts(loss, turned) else None
        if there is None or not _close(there, here):
            raise AssertionError(
                f"The scores {_told(scores)} cost {_told(here)}, and negated, with the opposite said, "
                f"{'nothing, because the loss refuses it' if there is None else _told(there)}. "
                "Drop REVERSIBLE from claims."
            )


def _is_a_probability(loss: Loss) -> None:
    """It claims to be proper: over all that could have been said, the exponentials of −cost have a constant sum."""
    generator = torch.Generator().manual_seed(_SEED + 2)
    kinds = {term.loss.reads for term in loss.terms}
    questions = [one for kind in kinds for one in alternatives(kind, loss)] if len(kinds) == 1 else []
    totals = []
    for said in questions:
        drawn = [spread * torch.randn(3, generator=generator, dtype=torch.float64) for spread in (0.0, 1.0, 1.0, 3.0)]
        costs = [torch.stack([_total(loss, scores, one) for one in said]) for scores in drawn]
        totals.append(torch.stack([(-cost).exp().sum() for cost in costs]))
    if not any(_close(sums, sums[:1].expand_as(sums)) for sums in totals):
        raise AssertionError(
            f"At some scores the exponentials add up to {' or '.join(map(_told, totals)) or 'nothing known'}. "
            "Divide the probability by its sum over all outcomes, or drop PROPER from claims."
        )


ITEM_RULES: list[Rule] = [
    _prices_every_item,
    _joins_rows,
    _ignores_the_order_in_lists,
    _prices_nothing_at_nothing,
    _learns_its_numbers,
]
BATCHWIDE_RULES: list[Rule] = [_prices_every_item, _may_be_cut, _prices_nothing_at_nothing, _learns_its_numbers]
RULES: list[Rule] = [_has_finite_gradients, _has_the_gradient_of_its_value]
CLAIM_RULES: dict[Claims, Rule] = {
    Claims.SHIFT_INVARIANT: _may_be_shifted,
    Claims.HOMOGENEOUS: _has_no_unit,
    Claims.MONOTONE: _rewards_approval,
    Claims.NON_NEGATIVE: _costs_no_less_than_nothing,
    Claims.CONVEX: _is_convex,
    Claims.REVERSIBLE: _may_be_reversed,
    Claims.PROPER: _is_a_probability,
}


def _follow(rule: Rule, loss: Any) -> None:
    try:
        rule(loss)
    except Exception as error:
        kind = loss if isinstance(loss, type) else type(loss)
        seen = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        raise AssertionError(f"{kind.__name__} breaks a rule. {rule.__doc__}\n{seen}") from error


def _in_types(loss: Loss, *dtypes: torch.dtype) -> Iterator[tuple[torch.dtype, tuple[Rows, Tensor]]]:
    for dtype in dtypes:
        for batch in _batches(loss, dtype):
            yield dtype, batch


def _batches(
    loss: Loss, dtype: torch.dtype, spreads: Sequence[float] = (1.0, 10.0, 1e4, 1e18), ties: bool = True
) -> Iterator[tuple[Rows, Tensor]]:
    """Yield every example batch with all scores equal, then with scores drawn from plus or minus each spread."""
    generator = torch.Generator().manual_seed(_SEED)
    for rows in batches_for(loss):
        count = sum(row.score_count() for row in rows)
        if ties:
            yield rows, torch.full((count,), spreads[-1], dtype=dtype)
        for spread in spreads:
            drawn = spread * (2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1)
            yield rows, drawn.to(dtype)
            if ties:
                yield rows, (spread * drawn.sign()).to(dtype)


def _better(approved: Tensor, turned_down: Tensor) -> Iterator[tuple[Tensor, float]]:
    """Yield score positions and what to add there: to all that people judged alike, and to each of them alone."""
    for positions, sign in ((approved, 1.0), (turned_down, -1.0)):
        for some in (positions, *positions.split(1)) if len(positions) > 1 else (positions,):
            yield from ((some, sign * step) for step in (0.1, 3.0))


def _lines(loss: Loss) -> Iterator[tuple[Rows, Tensor, Tensor]]:
    """Yield example batches with two vectors of scores, near to each other and far apart."""
    generator = torch.Generator().manual_seed(_SEED + 1)
    for rows, here in _batches(loss, torch.float64, spreads=(0.1, 1.0, 3.0, 3.0, 10.0, 10.0)):
        for distance in (0.3, 3.0):
            step = distance * torch.randn(len(here), generator=generator, dtype=here.dtype)
            yield rows, here, here + step
            yield rows, here, step


def _costs(loss: Loss, scores: Tensor, rows: Rows) -> Tensor:
    """Return one cost an item; one a row for a sum, whose terms have items of their own; one for a whole batch."""
    if isinstance(loss, BatchwideLoss):
        return loss.price(scores, join(rows)).mean()[None]
    if not _is_sum(loss):
        return loss.price(scores, join(rows))
    parts = scores.split([row.score_count() for row in rows])
    return torch.stack([loss(part, row) for part, row in zip(parts, rows, strict=True)])


def _total(loss: Loss, scores: Tensor, said: Feedback) -> Tensor:
    """Return what one answer to one question costs, its items added up."""
    costs = [term.weight * term.loss.price(scores[: said.score_count()], said).sum() for term in loss.terms]
    return torch.stack(costs).sum()


def _is_sum(loss: Loss) -> bool:
    return any(term.loss is not loss for term in loss.terms)


def _classes(loss: Loss) -> Iterator[type[Loss]]:
    if isinstance(loss, Sum):
        for part in loss.parts:
            yield from _classes(part.loss)
    else:
        yield type(loss)
        for option in (getattr(loss, f.name) for f in fields(loss)):
            if isinstance(option, Loss):
                yield from _classes(option)


def _tolerance(values: Tensor) -> float:
    return 1e-9 * (1 + float(values.abs().max() if len(values) else 0))


def _close(some: Tensor, others: Tensor) -> bool:
    return some.shape == others.shape and bool(((some - others).abs() <= _tolerance(others)).all())


def _told(values: Tensor) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values.tolist()) + "]"
