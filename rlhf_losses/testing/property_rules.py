"""The rules behind claims: for each thing that a loss may claim of itself, how it is checked."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from rlhf_losses.feedback import Feedback
from rlhf_losses.losses import Loss, LossProperty
from rlhf_losses.testing.counterparts import alternatives, in_another_unit, opposite
from rlhf_losses.testing.examples import Rows, accepts, join
from rlhf_losses.testing.preferred_answers import verdict
from rlhf_losses.testing.rules import Rule
from rlhf_losses.testing.trials import SEED, costs_of, is_close, scored_batches, told, tolerance


def _may_be_shifted(loss: Loss) -> None:
    """It claims to be shift invariant: a constant added to all scores changes no cost."""
    for rows, scores in scored_batches(loss, torch.float64, spreads=(1.0, 10.0)):
        before = costs_of(loss, scores, rows)
        for shift in (-3.0, 100.0):
            after = costs_of(loss, scores + shift, rows)
            if not is_close(after, before):
                raise AssertionError(
                    f"The scores {told(scores)} cost {told(before)}, and with {shift:g} added {told(after)}. "
                    "Drop SHIFT_INVARIANT from properties."
                )


def _has_no_unit(loss: Loss) -> None:
    """It claims to be homogeneous: in another unit of scores, margins and ratings, all costs change by one factor."""
    factors: dict[float, float] = {}
    for rows, scores in scored_batches(loss, torch.float64, spreads=(1.0, 10.0)):
        said = join(rows)
        before = costs_of(loss, scores, (said,))
        for unit in (2.0, 8.0):
            other = in_another_unit(said, unit)
            after = costs_of(loss, unit * scores, (other,)) if accepts(loss, other) else None
            largest = int(before.abs().argmax())
            if unit not in factors and after is not None and before[largest] != 0:
                factors[unit] = float(after[largest] / before[largest])
            expected = factors.get(unit, 0.0) * before
            if after is None or not is_close(after, expected):
                raise AssertionError(
                    f"The scores {told(scores)} cost {told(before)}, and in a unit {unit:g} times smaller "
                    f"{'nothing, because the loss refuses that' if after is None else told(after)}. "
                    "Drop HOMOGENEOUS from properties."
                )
    if factors and not math.isclose(factors[2.0] ** 3, factors[8.0], rel_tol=1e-6):
        raise AssertionError(
            f"In a unit 2 times smaller costs are {factors[2.0]:.4g} times as high, in one 8 times smaller "
            f"{factors[8.0]:.4g} times, which is no power of it. Drop HOMOGENEOUS from properties."
        )


def _rewards_approval(loss: Loss) -> None:
    """It claims to be monotone: a higher score for what people approved of never costs more."""
    for rows, scores in scored_batches(loss, torch.float64, spreads=(1.0, 3.0, 10.0, 10.0, 30.0)):
        before = costs_of(loss, scores, rows)
        for positions, step in _better(*verdict(join(rows))):
            better = scores.index_add(0, positions, scores.new_full((len(positions),), step))
            after = costs_of(loss, better, rows)
            if bool((after > before + tolerance(before)).any()):
                raise AssertionError(
                    f"The scores {told(scores)} cost {told(before)}, and the better ones {told(better)} cost "
                    f"{told(after)}. Drop MONOTONE from properties."
                )


def _better(approved: Tensor, turned_down: Tensor) -> Iterator[tuple[Tensor, float]]:
    """Yield score positions and what to add there: to all that people judged alike, and to each of them alone."""
    for positions, sign in ((approved, 1.0), (turned_down, -1.0)):
        for some in (positions, *positions.split(1)) if len(positions) > 1 else (positions,):
            yield from ((some, sign * step) for step in (0.1, 3.0))


def _costs_no_less_than_nothing(loss: Loss) -> None:
    """It claims to be non-negative: nothing costs less than nothing."""
    for rows, scores in scored_batches(loss, torch.float64):
        costs = costs_of(loss, scores, rows)
        if bool((costs < -tolerance(costs)).any()):
            raise AssertionError(f"The scores {told(scores)} cost {told(costs)}. Drop NON_NEGATIVE from properties.")


def _is_convex(loss: Loss) -> None:
    """It claims to be convex: between two vectors of scores the cost lies on or below the straight line."""
    for rows, here, there in _lines(loss):
        ends = (costs_of(loss, here, rows) + costs_of(loss, there, rows)) / 2
        middle = costs_of(loss, (here + there) / 2, rows)
        if bool((middle > ends + tolerance(ends)).any()):
            raise AssertionError(
                f"Halfway between {told(here)} and {told(there)} the cost is {told(middle)}, above {told(ends)}, "
                "the mean of both. Drop CONVEX from properties."
            )


def _lines(loss: Loss) -> Iterator[tuple[Rows, Tensor, Tensor]]:
    """Yield example batches with two vectors of scores, near to each other and far apart."""
    generator = torch.Generator().manual_seed(SEED + 1)
    for rows, here in scored_batches(loss, torch.float64, spreads=(0.1, 1.0, 3.0, 3.0, 10.0, 10.0)):
        for distance in (0.3, 3.0):
            step = distance * torch.randn(len(here), generator=generator, dtype=here.dtype)
            yield rows, here, here + step
            yield rows, here, step


def _may_be_reversed(loss: Loss) -> None:
    """It claims to be reversible: the opposite feedback on negated scores costs the same."""
    for rows, scores in scored_batches(loss, torch.float64, spreads=(1.0, 10.0)):
        said = join(rows)
        turned = opposite(said)
        here = costs_of(loss, scores, (said,))
        there = costs_of(loss, -scores, (turned,)) if accepts(loss, turned) else None
        if there is None or not is_close(there, here):
            raise AssertionError(
                f"The scores {told(scores)} cost {told(here)}, and negated, with the opposite said, "
                f"{'nothing, because the loss refuses it' if there is None else told(there)}. "
                "Drop REVERSIBLE from properties."
            )


def _is_a_probability(loss: Loss) -> None:
    """It claims to be proper: over all that could have been said, the exponentials of −cost have a constant sum."""
    generator = torch.Generator().manual_seed(SEED + 2)
    kinds = {term.loss.feedback_type for term in loss.terms}
    questions = [one for kind in kinds for one in alternatives(kind, loss)] if len(kinds) == 1 else []
    totals = []
    for said in questions:
        drawn = [spread * torch.randn(3, generator=generator, dtype=torch.float64) for spread in (0.0, 1.0, 1.0, 3.0)]
        costs = [torch.stack([_total(loss, scores, one) for one in said]) for scores in drawn]
        totals.append(torch.stack([(-cost).exp().sum() for cost in costs]))
    if not any(is_close(sums, sums[:1].expand_as(sums)) for sums in totals):
        raise AssertionError(
            f"At some scores the exponentials add up to {' or '.join(map(told, totals)) or 'nothing known'}. "
            "Divide the probability by its sum over all outcomes, or drop PROPER from properties."
        )


def _total(loss: Loss, scores: Tensor, said: Feedback) -> Tensor:
    """Return what one answer to one question costs, its items added up."""
    costs = [term.weight * term.loss.per_item_loss(scores[: said.score_count()], said).sum() for term in loss.terms]
    return torch.stack(costs).sum()


CLAIM_RULES: dict[LossProperty, Rule] = {
    LossProperty.SHIFT_INVARIANT: _may_be_shifted,
    LossProperty.HOMOGENEOUS: _has_no_unit,
    LossProperty.MONOTONE: _rewards_approval,
    LossProperty.NON_NEGATIVE: _costs_no_less_than_nothing,
    LossProperty.CONVEX: _is_convex,
    LossProperty.REVERSIBLE: _may_be_reversed,
    LossProperty.PROPER: _is_a_probability,
}
