"""Pairs: of two answers, one is preferred."""

from dataclasses import dataclass
from typing import Self

import torch

from rlhf_losses.errors import InvalidFeedbackError
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
from rlhf_losses.shapes import PairIndex, PerPair, Scores


@dataclass(frozen=True, eq=False)
class Pairs(Feedback):
    """Chosen answers against rejected ones.

    `margin` is how much score_difference the data demand, `weight` multiplies a pair's cost, and `preference` is
    the probability that the chosen answer is the better one, a tie counting half for either side.
    `tie` is the probability of a tie. Where only one of the two is given, a preference of exactly 0.5 is a
    tie, and what is not a tie is certain.

    >>> Pairs(chosen=[0], rejected=[1]).score_difference(torch.tensor([2.0, 3.0]))
    tensor([-1.])
    >>> Pairs(chosen=[0, 0], rejected=[1, 1], preference=[0.5, 0.8]).tie
    tensor([1., 0.])
    """

    chosen: PairIndex = score_index()
    rejected: PairIndex = score_index()
    margin: PerPair | None = optional_per_item(neutral=0.0)
    weight: PerPair | None = optional_per_item(neutral=1.0)
    preference: PerPair | None = optional_per_item(neutral=1.0)
    tie: PerPair | None = optional_per_item(neutral=0.0)

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
        require_within("Pairs", "weight", self.weight, 0.0, torch.finfo(torch.float32).max)
        require_within("Pairs", "preference", self.preference, 0.0, 1.0)
        require_within("Pairs", "tie", self.tie, 0.0, 1.0)
        if self.preference is not None and self.tie is not None:
            _require_shares(self.preference, self.tie)

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), (row[side],)) for side in ("chosen", "rejected")]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        held = {
            name: torch.tensor([number(row, name)]) for name in cls.optional_columns[1:] if row.get(name) is not None
        }
        return cls(chosen=torch.tensor([0]), rejected=torch.tensor([1]), **held)

    def score_difference(self, scores: Scores) -> PerPair:
        """Return chosen score − rejected score, without the margin."""
        return scores[self.chosen] - scores[self.rejected]

    def outcomes(self) -> tuple[PerPair, PerPair, PerPair]:
        """Return the probabilities that the chosen answer wins, ties and loses.

        >>> for share in Pairs(chosen=[0], rejected=[1], preference=[0.75], tie=[0.5]).outcomes():
        ...     print(share.item())
        0.5
        0.5
        0.0
        """
        if self.preference is None or self.tie is None:
            certain = torch.ones(len(self), device=self.chosen.device)
            return certain, certain - 1, certain - 1
        return self.preference - self.tie / 2, self.tie, 1 - self.preference - self.tie / 2


def _require_shares(preference: torch.Tensor, tie: torch.Tensor) -> None:
    """Raise `InvalidFeedbackError` unless a tie counts half for either side."""
    odd = (preference - 0.5).abs() > 0.5 - tie / 2 + 1e-6
    if bool(odd.any()):
        raise InvalidFeedbackError(
            f"Pairs got the preference {preference[odd][0].item():g} with the tie {tie[odd][0].item():g}. A tie counts "
            "half for either side, so that the preference lies between tie / 2 and 1 - tie / 2; give tie alone, "
            "or the preference with the ties counted in."
        )
