"""Labels: one answer is good or bad."""

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
from rlhf_losses.feedback.row_values import read_label
from rlhf_losses.shapes import CandidateIndex, PerCandidate


@dataclass(frozen=True, eq=False)
class Labels(Feedback):
    """One label per answer.

    Attributes:
        candidates: positions of the answers in the scores, of shape (candidates).
        labels: label of each answer, of shape (candidates): true or false, 1 or 0, +1 or −1, or the probability that
            the answer is good.

    Examples:
        >>> Labels.from_row({"prompt": "2 + 2 = ", "completion": "4", "label": True}).labels
        tensor([1.])
    """

    candidates: CandidateIndex = score_index()
    labels: PerCandidate = per_item()

    columns = (("completion", "label"),)
    optional_columns = ("prompt",)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def item_positions(self) -> CandidateIndex:
        return self.candidates

    def check(self) -> None:
        require_same_length("Labels", candidates=self.candidates, labels=self.labels)
        require_finite("Labels", "label", self.labels)

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), (row["completion"],))]

    @classmethod
    def row_fields(cls, row: Row) -> RowFields:
        return {"candidates": [0], "labels": [read_label(row, "label")]}
