"""Mixed: several kinds of feedback over the same scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback.base import Answer, Feedback, Row
from rlhf_losses.feedback.types import feedback_types_of_row, find_source_type
from rlhf_losses.shapes import ItemIndex


@dataclass(frozen=True, eq=False)
class Mixed(Feedback):
    """What rows hold when they carry more than one kind; each term of a loss reads its own.

    >>> from rlhf_losses.feedback import Pairs, Steps
    >>> both = Mixed((Pairs(chosen=[0], rejected=[1]), Steps(steps=[0], values=[1.0])))
    >>> both.convert_to(Steps).values
    tensor([1.])
    """

    kinds: tuple[Feedback, ...]

    def __post_init__(self) -> None:
        self.check()

    def __len__(self) -> int:
        return sum(len(kind) for kind in self.kinds)

    @property
    def item_positions(self) -> ItemIndex:
        return torch.cat([kind.item_positions for kind in self.kinds] or [torch.empty(0, dtype=torch.long)])

    def check(self) -> None:
        held = [type(kind).__name__ for kind in self.kinds]
        twice = next((name for name in held if held.count(name) > 1), None)
        if twice is not None:
            raise InvalidFeedbackError(
                f"Mixed got {twice} more than once, and a loss would read only the first. "
                f"Join them first: {twice}.concatenate([...])."
            )

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [answer for kind in feedback_types_of_row(row) for answer in kind.answers(row)]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read every kind that the row holds; positions count the parts of the first kind, then of the next."""
        return cls.from_row_with(row, feedback_types_of_row(row))

    @classmethod
    def from_row_with(cls, row: Row, kinds: Sequence[type[Feedback]]) -> Self:
        """Read the given kinds from one row, which must hold them."""
        read, first = [], 0
        for kind in kinds:
            feedback = kind.from_row(row)
            count = feedback.score_count()
            read.append(feedback.reindexed(torch.arange(first, first + count)))
            first += count
        return cls(tuple(read))

    def convert_to(self, kind: type[Feedback]) -> Feedback:
        if isinstance(self, kind):
            return self
        held = [type(feedback) for feedback in self.kinds]
        source = find_source_type(kind, held)
        if source is None:
            raise FeedbackMismatchError(
                f"This batch holds {', '.join(k.__name__ for k in held) or 'no feedback'}, and none of it can be read "
                f"as {kind.__name__}. Take a loss for what it holds, or add {kind.__name__} to the data."
            )
        return self.kinds[held.index(source)].convert_to(kind)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(tuple(kind.to(device) for kind in self.kinds))

    def score_count(self) -> int:
        return max((kind.score_count() for kind in self.kinds), default=0)

    def reindexed(self, new_position: Tensor) -> Self:
        return type(self)(tuple(kind.reindexed(new_position) for kind in self.kinds))

    @classmethod
    def concatenate(cls, parts: Sequence[Feedback]) -> Self:
        """Join batch after batch, kind by kind; a kind that only some of them hold is joined from those."""
        flat = [kind for part in parts for kind in (part.kinds if isinstance(part, Mixed) else (part,))]
        types = list(dict.fromkeys(type(kind) for kind in flat))
        return cls(tuple(t.concatenate([kind for kind in flat if type(kind) is t]) for t in types))
