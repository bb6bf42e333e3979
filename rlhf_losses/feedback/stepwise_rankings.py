"""Stepwise rankings: whole answers were compared, and each of them comes in steps."""

from dataclasses import dataclass
from typing import Self

import torch

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import (
    Answer,
    Feedback,
    Row,
    numbers,
    per_item,
    require_cover,
    require_finite,
    require_same_length,
    score_index,
)
from rlhf_losses.feedback.rankings import Rankings
from rlhf_losses.shapes import CandidateIndex, ItemIndex, Ranks, Sizes, StepIndex


@dataclass(frozen=True, eq=False)
class StepwiseRankings(Feedback):
    """Lists of answers laid end to end, each with a score a step; rank 1 is best and equal ranks are ties.

    `counts` says how many steps each answer has, `sizes` how many answers each list has.

    >>> pair = StepwiseRankings.from_row({"chosen_steps": ["2 + 2", " = 4"], "rejected_steps": ["5"]})
    >>> pair.counts, pair.ranks
    (tensor([2, 1]), tensor([1, 2]))
    """

    steps: StepIndex = score_index()
    counts: CandidateIndex = per_item(torch.long)
    ranks: Ranks = per_item(torch.long)
    sizes: Sizes = per_item(torch.long)

    columns = (("chosen_steps", "rejected_steps"), ("completion_steps", "ranks"))
    optional_columns = ("prompt",)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def item_positions(self) -> ItemIndex:
        return self.first_steps()[self.sizes.cumsum(0) - self.sizes]

    def check(self) -> None:
        require_same_length("StepwiseRankings", counts=self.counts, ranks=self.ranks)
        require_cover("StepwiseRankings", self.sizes, self.ranks)
        require_cover("StepwiseRankings", self.counts, self.steps)
        if bool((self.counts < 1).any()):
            raise InvalidFeedbackError(
                "StepwiseRankings got an answer without steps, which has no score. Drop the row."
            )
        if bool((self.sizes < 2).any()):
            raise InvalidFeedbackError(
                "StepwiseRankings got a list of one answer, which ranks nothing. Give two or more answers a prompt."
            )

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), tuple(steps)) for steps in _answers(row)]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        counts = [len(steps) for steps in _answers(row)]
        ranks = torch.tensor([1.0, 2.0] if row.get("completion_steps") is None else numbers(row, "ranks"))
        require_same_length("StepwiseRankings", completion_steps=counts, ranks=ranks)
        require_finite("StepwiseRankings", "ranks", ranks)
        return cls(
            steps=torch.arange(sum(counts)),
            counts=torch.tensor(counts),
            # Ranks may be written as any numbers; only their order counts.
            ranks=torch.unique(ranks, return_inverse=True)[1] + 1,
            sizes=torch.tensor([len(counts)]),
        )

    def first_steps(self) -> StepIndex:
        """Return the score position of the first step of each answer."""
        return self.steps[self.counts.cumsum(0) - self.counts]

    def of_answers(self) -> Rankings:
        """Return the rankings of the answers, whose score positions count the answers."""
        return Rankings(torch.arange(len(self.counts), device=self.counts.device), self.ranks, self.sizes)


def _answers(row: Row) -> list[list[str]]:
    if row.get("completion_steps") is not None:
        return list(row["completion_steps"])
    return [row["chosen_steps"], row["rejected_steps"]]
