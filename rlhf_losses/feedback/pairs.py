"""Pairs: one of two answers is preferred."""

from dataclasses import dataclass

import torch

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import (
    Answer,
    Feedback,
    Row,
    RowFields,
    optional_per_item,
    require_finite,
    require_in_range,
    require_same_length,
    score_index,
)
from rlhf_losses.feedback.row_values import read_number
from rlhf_losses.shapes import PairIndex, PerPair, Scores


@dataclass(frozen=True, eq=False)
class Pairs(Feedback):
    """Pairs of a chosen and a rejected answer.

    Attributes:
        chosen: positions of the chosen answers in the scores, of shape (pairs).
        rejected: positions of the rejected answers, of shape (pairs).
        margin: score difference that each pair should have at least, in score units.
        weight: factor of the loss of each pair, at least 0.
        preference: probability that the chosen answer is better, where a tie counts one half; 0 to 1.
        tie: probability of a tie, 0 to 1. If only `preference` is set, exactly 0.5 is a tie and other values are not.
            If only `tie` is set, the chosen answer wins with the remaining probability.

    Examples:
        >>> Pairs(chosen=[0], rejected=[1]).score_difference(torch.tensor([2.0, 3.0]))
        tensor([-1.])
        >>> Pairs(chosen=[0, 0], rejected=[1, 1], preference=[0.5, 0.8]).tie
        tensor([1., 0.])
    """

    chosen: PairIndex = score_index()
    rejected: PairIndex = score_index()
    margin: PerPair | None = optional_per_item(fill_value=0.0)
    weight: PerPair | None = optional_per_item(fill_value=1.0)
    preference: PerPair | None = optional_per_item(fill_value=1.0)
    tie: PerPair | None = optional_per_item(fill_value=0.0)

    columns = (("chosen", "rejected"), ("chosen_ids", "rejected_ids"))
    optional_columns = ("prompt", "margin", "weight", "preference", "tie")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preference is not None and self.tie is None:
            object.__setattr__(self, "tie", (self.preference == 0.5).float())
        elif self.tie is not None and self.preference is None:
            object.__setattr__(self, "preference", 1 - self.tie / 2)

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def item_positions(self) -> PairIndex:
        return self.chosen

    def check(self) -> None:
        optional = {"margin": self.margin, "weight": self.weight, "preference": self.preference, "tie": self.tie}
        require_same_length("Pairs", chosen=self.chosen, rejected=self.rejected, **optional)
        require_finite("Pairs", "margin", self.margin)
        require_in_range("Pairs", "weight", self.weight, 0.0, torch.finfo(torch.float32).max)
        require_in_range("Pairs", "preference", self.preference, 0.0, 1.0)
        require_in_range("Pairs", "tie", self.tie, 0.0, 1.0)
        if self.preference is not None and self.tie is not None:
            _require_outcome_probabilities(self.preference, self.tie)

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), (row[column],)) for column in ("chosen", "rejected")]

    @classmethod
    def row_fields(cls, row: Row) -> RowFields:
        optional = cls.optional_columns[1:]
        given = {column: [read_number(row, column)] for column in optional if row.get(column) is not None}
        return {"chosen": [0], "rejected": [1], **given}

    def score_difference(self, scores: Scores) -> PerPair:
        """Return chosen score − rejected score of each pair, without the margin."""
        return scores[self.chosen] - scores[self.rejected]

    def outcomes(self) -> tuple[PerPair, PerPair, PerPair]:
        """Return the probabilities that the chosen answer wins, ties and loses.

        Examples:
            >>> for probability in Pairs(chosen=[0], rejected=[1], preference=[0.75], tie=[0.5]).outcomes():
            ...     print(probability.item())
            0.5
            0.5
            0.0
        """
        if self.preference is None or self.tie is None:
            certain = torch.ones(len(self), device=self.chosen.device)
            return certain, certain - 1, certain - 1
        return self.preference - self.tie / 2, self.tie, 1 - self.preference - self.tie / 2


def _require_outcome_probabilities(preference: torch.Tensor, tie: torch.Tensor) -> None:
    """Raise `InvalidFeedbackError` if the probability of a win or of a loss is negative."""
    invalid = (preference - 0.5).abs() > 0.5 - tie / 2 + 1e-6
    if bool(invalid.any()):
        raise InvalidFeedbackError(
            f"Pairs received the preference {preference[invalid][0].item():g} with the tie {tie[invalid][0].item():g}. "
            "A tie counts one half for each answer, so the preference must be between tie / 2 and 1 - tie / 2. Set tie "
            "alone, or a preference that includes the ties."
        )
