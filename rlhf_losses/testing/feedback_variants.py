"""Variants of feedback: the opposite, other units of the scores, and all possible outcomes."""

from dataclasses import replace
from functools import singledispatch
from itertools import permutations, product

from torch import Tensor

from rlhf_losses.feedback import (
    Attributes,
    Feedback,
    Labels,
    Lengths,
    Mixed,
    Pairs,
    Ragged,
    Rankings,
    Ratings,
    Steps,
    StepwiseRankings,
    Votes,
)
from rlhf_losses.losses import AnyLoss
from rlhf_losses.testing.examples import accepts

_MAX_RATING = 20


@singledispatch
def opposite(feedback: Feedback) -> Feedback:
    """Return the opposite feedback: pairs swapped, rankings reversed, ratings negated.

    Examples:
        >>> opposite(Rankings(candidates=[0, 1, 2], ranks=[1, 2, 2], sizes=[3])).ranks
        tensor([2, 1, 1])
    """
    raise NotImplementedError(
        f"The opposite of {type(feedback).__name__} is not defined. Register a function: @opposite.register."
    )


@opposite.register
def _(feedback: Pairs) -> Pairs:
    return replace(feedback, chosen=feedback.rejected, rejected=feedback.chosen)


@opposite.register
def _(feedback: Votes) -> Votes:
    return replace(feedback, first=feedback.second, second=feedback.first)


@opposite.register
def _(feedback: Rankings) -> Rankings:
    assert feedback.grades is not None
    ranks = 1 + _segment_max(feedback.ranks, feedback.sizes) - feedback.ranks
    lowest = -_segment_max(-feedback.grades, feedback.sizes)
    grades = _segment_max(feedback.grades, feedback.sizes) + lowest - feedback.grades
    return Rankings(feedback.candidates, ranks, feedback.sizes, grades)


@opposite.register
def _(feedback: Ratings) -> Ratings:
    return replace(feedback, ratings=-feedback.ratings)


@opposite.register
def _(feedback: Attributes) -> Attributes:
    return replace(feedback, values=-feedback.values)


@opposite.register
def _(feedback: Lengths) -> Lengths:
    return feedback


@opposite.register
def _(feedback: Labels) -> Labels:
    return replace(feedback, labels=_opposite_labels(feedback.labels))


@opposite.register
def _(feedback: Steps) -> Steps:
    return replace(feedback, values=_opposite_labels(feedback.values))


@opposite.register
def _(feedback: StepwiseRankings) -> StepwiseRankings:
    ranks = 1 + _segment_max(feedback.ranks, feedback.sizes) - feedback.ranks
    return replace(feedback, ranks=ranks)


@opposite.register
def _(feedback: Mixed) -> Mixed:
    return Mixed(tuple(map(opposite, feedback.parts)))


def rescaled(feedback: Feedback, factor: float) -> Feedback:
    """Return the feedback for scores multiplied by a factor: margins and ratings are multiplied too.

    Examples:
        >>> rescaled(Pairs(chosen=[0], rejected=[1], margin=[0.5], weight=[3.0]), 2.0).margin
        tensor([1.])
    """
    if isinstance(feedback, Mixed):
        return Mixed(tuple(rescaled(part, factor) for part in feedback.parts))
    values = {name: getattr(feedback, name, None) for name in ("margin", "ratings", "values")}
    return replace(feedback, **{name: factor * value for name, value in values.items() if value is not None})


def possible_feedback(feedback_type: type[Feedback], loss: AnyLoss) -> list[list[Feedback]]:
    """Return sets of all possible feedback on the same few texts, as far as it is in the domain of a loss.

    A pair has two possible outcomes, or three with a tie. It depends on the loss whether a tie is an outcome, so there
    is one set of each.

    Examples:
        >>> from rlhf_losses.losses import cross_entropy
        >>> [[one.labels.item() for one in outcomes] for outcomes in possible_feedback(Labels, cross_entropy)]
        [[0.0, 1.0]]
    """
    accepted = [[one for one in outcomes if accepts(loss, one)] for outcomes in _possible_feedback(feedback_type)]
    return [outcomes for outcomes in accepted if outcomes]


def _possible_feedback(feedback_type: type[Feedback]) -> list[list[Feedback]]:
    if feedback_type is Pairs:
        sides = [Pairs.from_row({}), opposite(Pairs.from_row({}))]
        tie = Pairs.from_row({"tie": 1.0})
        strengths = [Pairs.from_row({"margin": strength}) for strength in range(1, _MAX_RATING + 1)]
        graded = [*strengths, Pairs.from_row({"margin": 0, "tie": 1.0}), *map(opposite, strengths)]
        return [sides, [*sides, tie], graded]
    if feedback_type is Rankings:
        return [[Rankings.from_row({"ranks": ranks}) for ranks in permutations((1, 2, 3))]]
    if feedback_type is Ratings:
        return [[Ratings.from_row({"rating": rating}) for rating in range(_MAX_RATING + 1)]]
    if feedback_type is Labels:
        return [[Labels.from_row({"label": label}) for label in (0, 1)]]
    if feedback_type is Steps:
        return [[Steps.from_row({"labels": labels}) for labels in product((0, 1), repeat=2)]]
    if feedback_type is StepwiseRankings:
        steps = [["a"], ["b", "c"]]
        return [[StepwiseRankings.from_row({"completion_steps": steps, "ranks": ranks}) for ranks in ([1, 2], [2, 1])]]
    return []


def _segment_max(values: Tensor, sizes: Tensor) -> Tensor:
    lists = Ragged(sizes)
    return lists.max(values)[lists.segment_ids]


def _opposite_labels(values: Tensor) -> Tensor:
    """Return 1 − value for labels from 0 to 1, and −value for labels from −1 to 1 and for ratings."""
    return 1 - values if bool(((values >= 0) & (values <= 1)).all()) else -values
