"""Pairs: of two answers, one is preferred."""

from dataclasses import dataclass
from typing import Self

import torch

from rlhf_losses.dimensions import PairIndex, PerPair, Scores
from rlhf_losses.feedback.base import (
    Answer,
    Feedback,
    Row,
    number,
    optional_per_item,
    require_finite,
    require_same_length,
    require_within,
    score_index,
)


@dataclass(frozen=True, eq=False)
class Pairs(Feedback):
    """Chosen answers against rejected ones.

    `margin` is how much lead the data demand, `weight` multiplies a pair's cost, and `preference` is
    the probability that the chosen answer is the better one: 1 is certain, 0.5 a tie.

    >>> Pairs(chosen=[0], rejected=[1]).lead(torch.tensor([2.0, 3.0]))
    tensor([-1.])
    """

    chosen: PairIndex = score_index()
    rejected: PairIndex = score_index()
    margin: PerPair | None = optional_per_item(neutral=0.0)
    weight: PerPair | None = optional_per_item(neutral=1.0)
    preference: PerPair | None = optional_per_item(neutral=1.0)

    columns = (("chosen", "rejected"), ("chosen_ids", "rejected_ids"))
    optional_columns = ("prompt", "margin", "weight", "preference")

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def anchor(self) -> PairIndex:
        return self.chosen

    def check(self) -> None:
        optional = {"margin": self.margin, "weight": self.weight, "preference": self.preference}
        require_same_length("Pairs", chosen=self.chosen, rejected=self.rejected, **optional)
        require_finite("Pairs", "margin", self.margin)
        require_within("Pairs", "weight", self.weight, 0.0, torch.finfo(torch.float32).max)
        require_within("Pairs", "preference", self.preference, 0.0, 1.0)

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), (row[side],)) for side in ("chosen", "rejected")]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        held = {
            name: torch.tensor([number(row, name)]) for name in cls.optional_columns[1:] if row.get(name) is not None
        }
        return cls(chosen=torch.tensor([0]), rejected=torch.tensor([1]), **held)

    def lead(self, scores: Scores) -> PerPair:
        """Return chosen score − rejected score, without the margin."""
        return scores[self.chosen] - scores[self.rejected]
