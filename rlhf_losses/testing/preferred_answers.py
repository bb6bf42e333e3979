"""The answers that feedback certainly prefers, and those that it certainly rejects."""

from functools import singledispatch

import torch
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

Positions = tuple[Tensor, Tensor]
"""Positions in the scores of the preferred and of the rejected answers."""


@singledispatch
def preferred_and_rejected(feedback: Feedback) -> Positions:
    """Return the positions in the scores of the answers that are certainly preferred, and of those certainly rejected.

    Soft preferences, ties and the middle of a list are in neither.

    Examples:
        >>> preferred_and_rejected(Rankings(candidates=[0, 1, 2], ranks=[2, 1, 3], sizes=[3]))
        (tensor([1]), tensor([2]))
    """
    raise NotImplementedError(
        f"The preferred answers of {type(feedback).__name__} are not defined. Register a function: "
        "@preferred_and_rejected.register."
    )


@preferred_and_rejected.register
def _(feedback: Pairs) -> Positions:
    certain = torch.ones(len(feedback)) if feedback.preference is None else feedback.preference
    chosen, rejected = feedback.chosen[certain == 1], feedback.rejected[certain == 1]
    uncertain = torch.cat([feedback.chosen[certain < 1], feedback.rejected[certain < 1]])
    # An answer that is chosen in one pair and rejected in another is in the middle.
    return _without(chosen, torch.cat([rejected, uncertain])), _without(rejected, torch.cat([chosen, uncertain]))


@preferred_and_rejected.register
def _(feedback: Votes) -> Positions:
    return preferred_and_rejected(feedback.to_pairs())


@preferred_and_rejected.register
def _(feedback: Rankings) -> Positions:
    lists = Ragged(feedback.sizes)
    best = [_single(*one, best=True) for one in _lists(lists, feedback)]
    worst = [_single(*one, best=False) for one in _lists(lists, feedback)]
    none = feedback.candidates[:0]
    return torch.cat([none, *best]), torch.cat([none, *worst])


@preferred_and_rejected.register
def _(feedback: Ratings) -> Positions:
    return preferred_and_rejected(feedback.to_rankings())


@preferred_and_rejected.register
def _(feedback: Attributes) -> Positions:
    """An attribute may count for or against an answer, so each score is both: a monotone loss must not depend on it."""
    return feedback.candidates, feedback.candidates


@preferred_and_rejected.register
def _(feedback: Lengths) -> Positions:
    """Lengths express no preference, so each score is both: a monotone loss must not depend on it."""
    return feedback.texts, feedback.texts


@preferred_and_rejected.register
def _(feedback: Labels) -> Positions:
    return feedback.candidates[feedback.labels == 1], feedback.candidates[feedback.labels <= 0]


@preferred_and_rejected.register
def _(feedback: Steps) -> Positions:
    return feedback.steps[feedback.values == 1], feedback.steps[feedback.values <= 0]


@preferred_and_rejected.register
def _(feedback: StepwiseRankings) -> Positions:
    steps = Ragged(feedback.counts).split(feedback.steps)
    preferred, rejected = (
        torch.cat([feedback.steps[:0], *(steps[i] for i in answers.tolist())])
        for answers in preferred_and_rejected(feedback.answer_rankings())
    )
    return preferred, rejected


@preferred_and_rejected.register
def _(feedback: Mixed) -> Positions:
    preferred, rejected = zip(*map(preferred_and_rejected, feedback.parts), strict=True)
    return torch.cat(preferred), torch.cat(rejected)


def _lists(lists: Ragged, feedback: Rankings) -> list[Positions]:
    """Return the candidates and the ranks of each list."""
    return list(zip(lists.split(feedback.candidates), lists.split(feedback.ranks), strict=True))


def _single(candidates: Tensor, ranks: Tensor, best: bool) -> Tensor:
    """Return the best or the worst candidate of a list, or none if several are tied."""
    selected = candidates[ranks == (ranks.min() if best else ranks.max())]
    return selected if len(selected) == 1 else selected[:0]


def _without(positions: Tensor, others: Tensor) -> Tensor:
    """Return the distinct positions that are not among others."""
    distinct: Tensor = torch.unique(positions[~torch.isin(positions, others)])
    return distinct
