"""What people could have said instead: the opposite, and everything else."""

from dataclasses import replace
from functools import singledispatch
from itertools import permutations, product

import torch
from torch import Tensor

from rlhf_losses.feedback import (
    Attributes,
    Feedback,
    Labels,
    Lengths,
    Mixed,
    Pairs,
    Rankings,
    Ratings,
    Steps,
    StepwiseRankings,
    Votes,
)
from rlhf_losses.losses import Loss
from rlhf_losses.testing.examples import accepts

_HIGHEST_RATING = 20


@singledispatch
def opposite(feedback: Feedback) -> Feedback:
    """Return what somebody of the opposite opinion would have said.

    >>> opposite(Rankings(candidates=[0, 1, 2], ranks=[1, 2, 2], sizes=[3])).ranks
    tensor([2, 1, 1])
    """
    raise NotImplementedError(f"Nothing says what is the opposite of {type(feedback).__name__}.")


@opposite.register
def _(feedback: Pairs) -> Pairs:
    return Pairs(
        feedback.rejected, feedback.chosen, feedback.margin, feedback.weight, feedback.preference, feedback.tie
    )


@opposite.register
def _(feedback: Votes) -> Votes:
    return Votes(feedback.second, feedback.first, feedback.votes_first, feedback.votes_second, feedback.ties)


@opposite.register
def _(feedback: Rankings) -> Rankings:
    sizes, grades = feedback.sizes.tolist(), feedback.grades
    assert grades is not None
    ranks = [1 + ranks.max() - ranks for ranks in feedback.ranks.split(sizes)]
    turned = [some.max() + some.min() - some for some in grades.split(sizes)]
    return Rankings(feedback.candidates, _cat(ranks, feedback.ranks), feedback.sizes, _cat(turned, grades))


@opposite.register
def _(feedback: Ratings) -> Ratings:
    return Ratings(feedback.candidates, -feedback.ratings, feedback.sizes)


@opposite.register
def _(feedback: Attributes) -> Attributes:
    return Attributes(feedback.candidates, feedback.names, -feedback.values)


@opposite.register
def _(feedback: Lengths) -> Lengths:
    return feedback


@opposite.register
def _(feedback: Labels) -> Labels:
    return Labels(feedback.candidates, _turned(feedback.labels))


@opposite.register
def _(feedback: Steps) -> Steps:
    return Steps(feedback.steps, _turned(feedback.values), feedback.sizes)


@opposite.register
def _(feedback: StepwiseRankings) -> StepwiseRankings:
    return StepwiseRankings(feedback.steps, feedback.counts, _ranked(opposite(feedback.of_answers())), feedback.sizes)


@opposite.register
def _(feedback: Mixed) -> Mixed:
    return Mixed(tuple(map(opposite, feedback.kinds)))


def in_another_unit(feedback: Feedback, factor: float) -> Feedback:
    """Return the same feedback where scores count in another unit: margins and ratings change with it.

    >>> in_another_unit(Pairs(chosen=[0], rejected=[1], margin=[0.5], weight=[3.0]), 2.0).margin
    tensor([1.])
    """
    if isinstance(feedback, Mixed):
        return Mixed(tuple(in_another_unit(kind, factor) for kind in feedback.kinds))
    named = ("margin", "ratings", "values")
    stated = {name: getattr(feedback, name, None) for name in named}
    return replace(feedback, **{name: factor * value for name, value in stated.items() if value is not None})


def alternatives(kind: type[Feedback], loss: Loss) -> list[list[Feedback]]:
    """Return sets of all that could be said about a few texts, as far as `loss` reads it.

    Of two answers either can be better, or they tie; whether a tie is a third outcome depends on the loss, so
    there is a set with and one without it.

    >>> from rlhf_losses.losses import cross_entropy
    >>> [[said.labels.item() for said in one] for one in alternatives(Labels, cross_entropy)]
    [[0.0, 1.0]]
    """
    return [within for some in _all_said(kind) if (within := [said for said in some if accepts(loss, said)])]


def _all_said(kind: type[Feedback]) -> list[list[Feedback]]:
    if kind is Pairs:
        sides = [Pairs.from_row({}), opposite(Pairs.from_row({}))]
        strengths = [Pairs.from_row({"margin": strength}) for strength in range(1, _HIGHEST_RATING + 1)]
        graded = [*strengths, Pairs.from_row({"margin": 0, "tie": 1.0}), *map(opposite, strengths)]
        return [sides, [*sides, Pairs.from_row({"tie": 1.0})], graded]
    if kind is Rankings:
        return [[Rankings.from_row({"ranks": ranks}) for ranks in permutations((1, 2, 3))]]
    if kind is Ratings:
        return [[Ratings.from_row({"rating": rating}) for rating in range(_HIGHEST_RATING + 1)]]
    if kind is Labels:
        return [[Labels.from_row({"label": label}) for label in (0, 1)]]
    if kind is Steps:
        return [[Steps.from_row({"labels": labels}) for labels in product((0, 1), repeat=2)]]
    if kind is StepwiseRankings:
        steps = [["a"], ["b", "c"]]
        return [[StepwiseRankings.from_row({"completion_steps": steps, "ranks": ranks}) for ranks in ([1, 2], [2, 1])]]
    return []


def _ranked(feedback: Feedback) -> Tensor:
    assert isinstance(feedback, Rankings)
    return feedback.ranks


def _turned(values: Tensor) -> Tensor:
    """Return 1 for 0 and 0 for 1; where bad is written −1, −1 for 1 and 1 for −1; ratings negated."""
    return 1 - values if bool(((values >= 0) & (values <= 1)).all()) else -values


def _cat(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat(parts) if parts else like[:0]
