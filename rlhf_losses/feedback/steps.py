"""Steps: each step of one answer has a label or a rating."""

from dataclasses import dataclass, field

import torch

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import (
    Answer,
    Feedback,
    Row,
    RowFields,
    per_item,
    require_finite,
    require_matching_sizes,
    require_same_length,
    score_index,
)
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.feedback.row_values import read_list, read_numbers, read_optional_list
from rlhf_losses.shapes import PerStep, Sizes, StepIndex

IGNORED_LABEL = -100
"""Label of a step without a judgement, as in TRL and PyTorch. Null has the same meaning."""

_NO_STEPS = "Steps received an answer with 0 steps, which has no items. Drop the row."
_NO_JUDGED_STEPS = "Steps received an answer with 0 judged steps, which has no items. Add a label, or drop the row."


@dataclass(frozen=True, eq=False)
class Steps(Feedback):
    """One label or rating per step of an answer. Steps whose label is null or −100 are not judged and not contained.

    Attributes:
        steps: positions of the steps in the scores, of shape (steps).
        values: label (true or false, 1 or 0, +1 or −1, or a probability) or rating of each step, of shape (steps).
        sizes: number of steps of each answer, of shape (answers); at least 1. By default all steps belong to one
            answer.

    Examples:
        >>> Steps.from_row({"prompt": "", "completions": ["2 + 2", " = 5"], "labels": [True, False]}).values
        tensor([1., 0.])
        >>> Steps.from_row({"completions": ["2 + 2", " = 5", ", so"], "labels": [1, 0, None]}).values
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
            require_matching_sizes("Steps", self.sizes, self.steps)
            if bool((self.sizes < 1).any()):
                raise InvalidFeedbackError(_NO_STEPS)

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), tuple(read_list(row, "completions")))]

    @classmethod
    def num_parts(cls, row: Row) -> int:
        return len(read_list(row, "labels"))

    @classmethod
    def is_annotated(cls, row: Row) -> bool:
        labels = row["labels"]  # `from_row` refuses a value that is not a list
        return not isinstance(labels, list | tuple) or not labels or any(map(_is_judged, labels))

    @classmethod
    def row_fields(cls, row: Row) -> RowFields:
        values = read_numbers(row, "labels")
        require_same_length("Steps", completions=read_optional_list(row, "completions"), labels=values)
        judged = [index for index, label in enumerate(read_list(row, "labels")) if _is_judged(label)]
        if not judged:
            raise InvalidFeedbackError(_NO_JUDGED_STEPS if values else _NO_STEPS)
        return {"steps": judged, "values": [values[index] for index in judged], "sizes": [len(judged)]}

    def first_steps(self) -> StepIndex:
        """Return the position in the scores of the first step of each answer."""
        assert self.sizes is not None
        return self.steps[Ragged(self.sizes).starts]


def _is_judged(label: object) -> bool:
    return label is not None and label != IGNORED_LABEL
