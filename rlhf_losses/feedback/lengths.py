"""Lengths: the number of tokens of each answer, which the trainer measures."""

from dataclasses import dataclass

from rlhf_losses.feedback.base import (
    Answer,
    Feedback,
    Row,
    RowFields,
    per_item,
    require_finite,
    require_same_length,
    score_index,
)
from rlhf_losses.feedback.row_values import read_numbers
from rlhf_losses.shapes import CandidateIndex, PerCandidate


@dataclass(frozen=True, eq=False)
class Lengths(Feedback):
    """Number of answer tokens up to each score; no dataset column contains it.

    Attributes:
        texts: positions in the scores, of shape (scores).
        lengths: number of tokens of the answer, without its prompt, up to the token of the score; of shape (scores).

    Examples:
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
        """Return no texts: lengths refer to the texts of the other feedback of a row."""
        return []

    @classmethod
    def row_fields(cls, row: Row) -> RowFields:
        lengths = read_numbers(row, "lengths")
        return {"texts": range(len(lengths)), "lengths": lengths}
