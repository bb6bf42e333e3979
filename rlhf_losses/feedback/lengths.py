"""Lengths: how long each answer is, which the texts say by themselves."""

from dataclasses import dataclass
from typing import Self

import torch

from rlhf_losses.feedback.base import (
    Answer,
    Feedback,
    Row,
    numbers,
    per_item,
    require_finite,
    require_same_length,
    score_index,
)
from rlhf_losses.shapes import CandidateIndex, PerCandidate


@dataclass(frozen=True, eq=False)
class Lengths(Feedback):
    """The tokens of an answer, its prompt left out, up to where each score is read; no column holds them.

    >>> Lengths(texts=[0, 1], lengths=[12, 30]).lengths
    tensor([12., 30.])
    """

    texts: CandidateIndex = score_index()
    lengths: PerCandidate = per_item()

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def item_positions(self) -> CandidateIndex:
        return self.texts

    def check(self) -> None:
        require_same_length("Lengths", texts=self.texts, lengths=self.lengths)
        require_finite("Lengths", "length", self.lengths)

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        """Return nothing: the texts are those of the other kinds that a row holds."""
        return []

    @classmethod
    def from_row(cls, row: Row) -> Self:
        lengths = numbers(row, "lengths")
        return cls(torch.arange(len(lengths)), torch.tensor(lengths))
