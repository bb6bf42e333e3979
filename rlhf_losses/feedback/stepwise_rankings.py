"""Stepwise rankings: whole answers are compared, and each answer has several steps."""

from dataclasses import dataclass
from typing import Any

import torch

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import (
    Answer,
    Feedback,
    Row,
    RowFields,
    per_item,
    require_matching_sizes,
    require_same_length,
    score_index,
)
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.feedback.rankings import Rankings, dense_ranks
from rlhf_losses.feedback.row_values import read_list, read_lists, read_numbers
from rlhf_losses.shapes import CandidateIndex, ItemIndex, Ranks, Sizes, StepIndex


@dataclass(frozen=True, eq=False)
class StepwiseRankings(Feedback):
    """Lists of ranked answers with one score per step, one list after another.

    Attributes:
        steps: positions of the steps in the scores, of shape (steps).
        counts: number of steps of each answer, of shape (candidates); at least 1.
        ranks: rank of each answer in its list, of shape (candidates); 1 is best, and equal ranks are ties.
        sizes: number of answers of each list, of shape (lists); at least 2.

    Examples:
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
        return self.first_steps()[Ragged(self.sizes).starts]

    def check(self) -> None:
        require_same_length("StepwiseRankings", counts=self.counts, ranks=self.ranks)
        require_matching_sizes("StepwiseRankings", self.sizes, self.ranks)
        require_matching_sizes("StepwiseRankings", self.counts, self.steps)
        if bool((self.counts < 1).any()):
            raise InvalidFeedbackError(
                "StepwiseRankings received an answer with 0 steps, which has no score. Drop the row."
            )
        if bool((self.sizes < 2).any()):
            raise InvalidFeedbackError(
                f"StepwiseRankings received a list of {int(self.sizes.min())} answers, but a ranking needs at least "
                "two. Add answers, or drop the row."
            )

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), tuple(steps)) for steps in cls._steps_of_answers(row)]

    @classmethod
    def row_fields(cls, row: Row) -> RowFields:
        counts = [len(steps) for steps in cls._steps_of_answers(row)]
        ranks = read_numbers(row, "ranks") if "ranks" in cls.columns_in(row) else [1.0, 2.0]
        require_same_length("StepwiseRankings", completion_steps=counts, ranks=ranks)
        dense = dense_ranks("StepwiseRankings", ranks)
        return {"steps": range(sum(counts)), "counts": counts, "ranks": dense, "sizes": [len(counts)]}

    @classmethod
    def _steps_of_answers(cls, row: Row) -> list[list[Any]]:
        if "completion_steps" in cls.columns_in(row):
            return read_lists(row, "completion_steps")
        return [read_list(row, "chosen_steps"), read_list(row, "rejected_steps")]

    def first_steps(self) -> StepIndex:
        """Return the position in the scores of the first step of each answer."""
        return self.steps[Ragged(self.counts).starts]

    def answer_rankings(self) -> Rankings:
        """Return the rankings of whole answers; their positions count the answers."""
        return Rankings(torch.arange(len(self.counts), device=self.counts.device), self.ranks, self.sizes)
