"""One rule for each property that a loss can declare."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from rlhf_losses.feedback import Feedback
from rlhf_losses.losses import AnyLoss, LossProperty
from rlhf_losses.testing.examples import Rows, accepts, join
from rlhf_losses.testing.feedback_variants import opposite, possible_feedback, rescaled
from rlhf_losses.testing.preferred_answers import preferred_and_rejected
from rlhf_losses.testing.rule_helpers import Rule
from rlhf_losses.testing.scored_examples import SEED, format_values, is_close, loss_values, scored_examples, tolerance


def _is_shift_invariant(loss: AnyLoss) -> None:
    """A shift invariant loss has the same values if a constant is added to all scores."""
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0, 10.0)):
        values = loss_values(loss, scores, rows)
        for shift in (-3.0, 100.0):
            shifted = loss_values(loss, scores + shift, rows)
            if not is_close(shifted, values):
                raise AssertionError(
                    f"The scores {format_values(scores)} have the values {format_values(values)}, and "
                    f"{format_values(shifted)} with {shift:g} added. Remove SHIFT_INVARIANT from properties."
                )


def _is_homogeneous(loss: AnyLoss) -> None:
    """A homogeneous loss multiplies all values by one power of c if scores, margins and ratings are multiplied by c."""
    ratios: dict[float, float] = {}
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0, 10.0)):
        feedback = join(rows)
        values = loss_values(loss, scores, (feedback,))
        largest = int(values.abs().argmax())
        for factor in (2.0, 8.0):
            other = rescaled(feedback, factor)
            scaled = loss_values(loss, factor * scores, (other,)) if accepts(loss, other) else None
            if factor not in ratios and scaled is not None and values[largest] != 0:
                ratios[factor] = float(scaled[largest] / values[largest])
            if scaled is None or not is_close(scaled, ratios.get(factor, 0.0) * values):
                raise AssertionError(
                    f"The scores {format_values(scores)} have the values {format_values(values)}, and "
                    f"{_format_or_refused(scaled)} if scores, margins and ratings are multiplied by {factor:g}. "
                    "Remove HOMOGENEOUS from properties."
                )
    if ratios and not math.isclose(ratios[2.0] ** 3, ratios[8.0], rel_tol=1e-6):
        raise AssertionError(
            f"The factor 2 multiplies the values by {ratios[2.0]:.4g}, and the factor 8 by {ratios[8.0]:.4g}, which is "
            "not the same power. Remove HOMOGENEOUS from properties."
        )


def _is_monotone(loss: AnyLoss) -> None:
    """A monotone loss does not increase if a preferred answer has a higher score, or a rejected answer a lower one."""
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0, 3.0, 10.0, 10.0, 30.0)):
        values = loss_values(loss, scores, rows)
        for positions, step in _improvements(*preferred_and_rejected(join(rows))):
            better = scores.index_add(0, positions, scores.new_full((len(positions),), step))
            improved = loss_values(loss, better, rows)
            if bool((improved > values + tolerance(values)).any()):
                raise AssertionError(
                    f"The scores {format_values(scores)} have the values {format_values(values)}, and the better "
                    f"scores {format_values(better)} have {format_values(improved)}. Remove MONOTONE from properties."
                )


def _improvements(preferred: Tensor, rejected: Tensor) -> Iterator[tuple[Tensor, float]]:
    """Yield positions in the scores and the number to add: for all preferred or rejected answers, and for each."""
    for positions, sign in ((preferred, 1.0), (rejected, -1.0)):
        each = torch.split(positions, 1) if len(positions) > 1 else ()
        for some in (positions, *each):
            yield from ((some, sign * step) for step in (0.1, 3.0))


def _is_non_negative(loss: AnyLoss) -> None:
    """A non-negative loss has no negative values."""
    for rows, scores in scored_examples(loss, torch.float64):
        values = loss_values(loss, scores, rows)
        if bool((values < -tolerance(values)).any()):
            raise AssertionError(
                f"The scores {format_values(scores)} have the values {format_values(values)}. "
                "Remove NON_NEGATIVE from properties."
            )


def _is_convex(loss: AnyLoss) -> None:
    """A convex loss has at the midpoint of two score vectors at most the mean of its values at both."""
    for rows, first, second in _segments(loss):
        mean = (loss_values(loss, first, rows) + loss_values(loss, second, rows)) / 2
        midpoint = loss_values(loss, (first + second) / 2, rows)
        if bool((midpoint > mean + tolerance(mean)).any()):
            raise AssertionError(
                f"At the midpoint of {format_values(first)} and {format_values(second)} the values are "
                f"{format_values(midpoint)}, above the mean {format_values(mean)} of both. Remove CONVEX from "
                "properties."
            )


def _segments(loss: AnyLoss) -> Iterator[tuple[Rows, Tensor, Tensor]]:
    """Yield example batches with two score vectors, near each other and far apart."""
    generator = torch.Generator().manual_seed(SEED + 1)
    for rows, scores in scored_examples(loss, torch.float64, spreads=(0.1, 1.0, 3.0, 10.0)):
        for distance in (0.3, 3.0):
            step = distance * torch.randn(len(scores), generator=generator, dtype=scores.dtype)
            yield rows, scores, scores + step
            yield rows, scores, step


def _is_reversible(loss: AnyLoss) -> None:
    """A reversible loss has the same values for the opposite feedback on negated scores."""
    for rows, scores in scored_examples(loss, torch.float64, spreads=(1.0, 10.0)):
        feedback = join(rows)
        other = opposite(feedback)
        values = loss_values(loss, scores, (feedback,))
        reverse = loss_values(loss, -scores, (other,)) if accepts(loss, other) else None
        if reverse is None or not is_close(reverse, values):
            raise AssertionError(
                f"The scores {format_values(scores)} have the values {format_values(values)}, and "
                f"{_format_or_refused(reverse)} if they are negated and the feedback is opposite. "
                "Remove REVERSIBLE from properties."
            )


def _is_proper(loss: AnyLoss) -> None:
    """A proper loss is a negative log-likelihood: the sum of exp(−value) over all possible feedback is constant."""
    generator = torch.Generator().manual_seed(SEED + 2)
    types = {term.loss.feedback_type for term in loss.as_objective().terms}
    sets = [outcomes for one in types for outcomes in possible_feedback(one, loss)] if len(types) == 1 else []
    totals = []
    for outcomes in sets:
        drawn = [spread * torch.randn(3, generator=generator, dtype=torch.float64) for spread in (0.0, 1.0, 1.0, 3.0)]
        values = [torch.stack([_total(loss, scores, one) for one in outcomes]) for scores in drawn]
        totals.append(torch.stack([(-value).exp().sum() for value in values]))
    if not any(is_close(sums, sums[:1].expand_as(sums)) for sums in totals):
        raise AssertionError(
            "At several score vectors the exponentials add up to "
            f"{' or '.join(map(format_values, totals)) or 'no known sum'}. "
            "Divide the likelihood by its sum over all outcomes, or remove PROPER from properties."
        )


def _total(loss: AnyLoss, scores: Tensor, feedback: Feedback) -> Tensor:
    """Return the weighted sum of all values."""
    return torch.stack(
        [
            term.weight * term.loss.per_item_loss(scores[: feedback.score_count()], feedback).sum()
            for term in loss.as_objective().terms
        ]
    ).sum()


def _format_or_refused(values: Tensor | None) -> str:
    return "no values, because require_domain refuses the feedback," if values is None else format_values(values)


PROPERTY_RULES: dict[LossProperty, Rule] = {
    LossProperty.SHIFT_INVARIANT: _is_shift_invariant,
    LossProperty.HOMOGENEOUS: _is_homogeneous,
    LossProperty.MONOTONE: _is_monotone,
    LossProperty.NON_NEGATIVE: _is_non_negative,
    LossProperty.CONVEX: _is_convex,
    LossProperty.REVERSIBLE: _is_reversible,
    LossProperty.PROPER: _is_proper,
}
