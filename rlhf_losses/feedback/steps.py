"""Steps: the segments of one answer, each with a label or a rating."""

from dataclasses import dataclass, field
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
from rlhf_losses.shapes import PerStep, Sizes, StepIndex


@dataclass(frozen=True, eq=False)
class Steps(Feedback):
    """One value a step: a label (true or false, +1 or −1) or a rating.

    `sizes` says how many steps each answer has; without it they are the steps of one answer.

    >>> Steps.from_row({"prompt": "", "completions": ["2 + 2", " = 5"], "labels": [True, False]}).values
    tensor([1., 0.])
    """

    steps: StepIndex = score_index()
    values: PerStep = per_item()
    sizes: Sizes | None = field(default=None, metadata={"dtype": torch.long})

    columns = (("completions", "labels"),)
    optional_columns = ("prompt",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sizes is None:
            sizes = [len(self.steps)] if len(self.steps) else []
            object.__setattr__(self, "sizes", torch.tensor(sizes, dtype=torch.long, device=self.steps.device))

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def item_positions(self) -> StepIndex:
        return self.steps

    def check(self) -> None:
        require_same_length("Steps", steps=self.steps, labels=self.values)
        require_finite("Steps", "labels", self.values)
        if self.sizes is not None:
            require_cover("Steps", self.sizes, self.steps)
            if bool((self.sizes < 1).any()):
                raise InvalidFeedbackError("Steps got an answer without steps, which says nothing. Drop the row.")

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), tuple(row["completions"]))]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        values = numbers(row, "labels")
        require_same_length("Steps", completions=row.get("completions", values), labels=values)
        if not values:
            raise InvalidFeedbackError("Steps got an answer without steps, which says nothing. Drop the row.")
        return cls(steps=torch.arange(len(values)), values=torch.tensor(values))

    def first_steps(self) -> StepIndex:
        """Return the score position of the first step of each answer."""
        assert self.sizes is not None
        return self.steps[self.sizes.cumsum(0) - self.sizes]
