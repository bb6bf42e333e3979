"""Which answers people approved of, and which they turned down, beyond doubt."""

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
    Rankings,
    Ratings,
    Steps,
    StepwiseRankings,
    Votes,
)

Verdict = tuple[Tensor, Tensor]
"""Score positions of the approved, and of the turned down."""


@singledispatch
def verdict(feedback: Feedback) -> Verdict:
    """Return the score positions that people surely approved of, and those that they surely turned down.

    Doubtful ones (soft preferences, ties, ranks in the middle of a list) are in neither.

    >>> verdict(Rankings(candidates=[0, 1, 2], ranks=[2, 1, 3], sizes=[3]))
    (tensor([1]), tensor([2]))
    """
    raise NotImplementedError(f"Nothing says whom {type(feedback).__name__} approve of.")


@verdict.register
def _(feedback: Pairs) -> Verdict:
    sure = torch.ones(len(feedback)) if feedback.preference is None else feedback.preference
    chosen, rejected = feedback.chosen[sure == 1], feedback.rejected[sure == 1]
    doubtful = torch.cat([feedback.chosen[sure < 1], feedback.rejected[sure < 1]])
    # What is chosen here and rejected there lies in the middle.
    return _apart(chosen, torch.cat([rejected, doubtful])), _apart(rejected, torch.cat([chosen, doubtful]))


@verdict.register
def _(feedback: Votes) -> Verdict:
    sure = feedback.to_pairs()
    return verdict(sure)


@verdict.register
def _(feedback: Rankings) -> Verdict:
    sizes = feedback.sizes.tolist()
    lists = list(zip(feedback.candidates.split(sizes), feedback.ranks.split(sizes), strict=True))
    none = feedback.candidates[:0]
    best = [_only(candidates, ranks == ranks.min()) for candidates, ranks in lists]
    worst = [_only(candidates, ranks == ranks.max()) for candidates, ranks in lists]
    return torch.cat([none, *best]), torch.cat([none, *worst])


@verdict.register
def _(feedback: Ratings) -> Verdict:
    return verdict(feedback.to_rankings())


@verdict.register
def _(feedback: Attributes) -> Verdict:
    """An attribute may count for or against an answer, so that no score is beyond doubt."""
    return feedback.candidates, feedback.candidates


@verdict.register
def _(feedback: Lengths) -> Verdict:
    """Lengths tell nothing, so that only what neither a higher nor a lower score makes dearer is monotone in them."""
    return feedback.texts, feedback.texts


@verdict.register
def _(feedback: Labels) -> Verdict:
    return feedback.candidates[feedback.labels == 1], feedback.candidates[feedback.labels <= 0]


@verdict.register
def _(feedback: Steps) -> Verdict:
    return feedback.steps[feedback.values == 1], feedback.steps[feedback.values <= 0]


@verdict.register
def _(feedback: StepwiseRankings) -> Verdict:
    steps = feedback.steps.split(feedback.counts.tolist())
    approved, turned_down = (
        torch.cat([feedback.steps[:0], *(steps[i] for i in some)]) for some in _of_answers(feedback)
    )
    return approved, turned_down


@verdict.register
def _(feedback: Mixed) -> Verdict:
    approved, turned_down = zip(*map(verdict, feedback.kinds), strict=True)
    return torch.cat(approved), torch.cat(turned_down)


def _only(candidates: Tensor, among: Tensor) -> Tensor:
    """Return the candidate that stands alone there, or none."""
    return candidates[among] if int(among.sum()) == 1 else candidates[:0]


def _apart(positions: Tensor, others: Tensor) -> Tensor:
    """Return the positions that are not among others, each once."""
    return torch.unique(positions[~torch.isin(positions, others)])


def _of_answers(feedback: StepwiseRankings) -> tuple[list[int], list[int]]:
    best, worst = verdict(feedback.of_answers())
    return best.tolist(), worst.tolist()
