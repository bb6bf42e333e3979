"""Mixed feedback: several feedback types over the same scores."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback.base import Answer, F, Feedback, Row, RowFields
from rlhf_losses.feedback.types import feedback_types_of_row, find_source_type
from rlhf_losses.shapes import ItemIndex


@dataclass(frozen=True, eq=False)
class Mixed(Feedback):
    """Feedback of several types; each term of an objective uses the part of its own type.

    Attributes:
        parts: feedback of different types over the same vector of scores.

    Examples:
        >>> from rlhf_losses.feedback import Pairs, Steps
        >>> both = Mixed((Pairs(chosen=[0], rejected=[1]), Steps(steps=[0], values=[1.0])))
        >>> both.convert_to(Steps).values
        tensor([1.])
    """

    parts: tuple[Feedback, ...]

    def __post_init__(self) -> None:
        self.check()

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def item_positions(self) -> ItemIndex:
        return torch.cat([part.item_positions for part in self.parts] or [torch.empty(0, dtype=torch.long)])

    def check(self) -> None:
        names = [type(part).__name__ for part in self.parts]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise InvalidFeedbackError(
                f"Mixed received {repeated} {names.count(repeated)} times, but a loss uses one part of each type. "
                f"Concatenate the parts first: {repeated}.concatenate([...])."
            )

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [answer for feedback_type in feedback_types_of_row(row) for answer in feedback_type.answers(row)]

    @classmethod
    def from_row(cls, row: Row, feedback_types: Sequence[type[Feedback]] | None = None) -> Self:
        """Return the feedback of one row; positions count the answers of the first type, then those of the next.

        Args:
            row: a row of a dataset.
            feedback_types: feedback types to use, all of which the row contains; by default all types of the row.
        """
        return cls.from_rows([row], [feedback_types_of_row(row) if feedback_types is None else feedback_types])

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Row],
        types_of_rows: Iterable[Sequence[type[Feedback]]],
        score_counts: Iterable[int] | None = None,
        feedback_types: Iterable[type[Feedback]] = (),
    ) -> Self:
        """Return the feedback of several rows over the concatenation of their scores, in one vector per field.

        Args:
            rows: rows of a dataset.
            types_of_rows: feedback types to use of each row, all of which the row contains.
            score_counts: number of scores of each row; by default the number of parts of its answers.
            feedback_types: feedback types that the result contains also if no row has them.

        Examples:
            >>> from rlhf_losses.feedback import Pairs
            >>> pair = {"chosen": "4", "rejected": "5"}
            >>> Mixed.from_rows([pair, pair], [[Pairs], [Pairs]]).parts[0].chosen
            tensor([0, 2])
        """
        found: dict[type[Feedback], list[tuple[RowFields, int]]] = {one: [] for one in feedback_types}
        counts = None if score_counts is None else iter(score_counts)
        start = 0
        for row, types in zip(rows, types_of_rows, strict=True):
            for feedback_type, first in _starts(row, types, start):
                found.setdefault(feedback_type, []).append((feedback_type.row_fields(row), first))
            start += sum(one.num_parts(row) for one in types) if counts is None else next(counts)
        parts = (
            one.from_fields(*zip(*of_type, strict=True)) if of_type else one.concatenate([])
            for one, of_type in found.items()
        )
        return cls(tuple(parts))

    @classmethod
    def row_positions(cls, row: Row, feedback_types: Sequence[type[Feedback]] | None = None) -> list[int]:
        """Return the positions that the feedback of one row contains; for the arguments see `from_row`."""
        types = feedback_types_of_row(row) if feedback_types is None else feedback_types
        return [first + position for one, first in _starts(row, types) for position in one.row_positions(row)]

    def convert_to(self, feedback_type: type[F]) -> F:
        if isinstance(self, feedback_type):
            return self
        types = [type(part) for part in self.parts]
        source = find_source_type(feedback_type, types)
        if source is None:
            names = ", ".join(one.__name__ for one in types) or "no feedback"
            raise FeedbackMismatchError(
                f"The data contain {names}, which cannot be converted to {feedback_type.__name__}. Use a loss for "
                f"these types, or add the columns of {feedback_type.__name__}."
            )
        return self.parts[types.index(source)].convert_to(feedback_type)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(tuple(part.to(device) for part in self.parts))

    def positions(self) -> Tensor:
        return torch.cat([torch.empty(0, dtype=torch.long), *(part.positions() for part in self.parts)])

    def reindexed(self, new_positions: Tensor) -> Self:
        return type(self)(tuple(part.reindexed(new_positions) for part in self.parts))

    @classmethod
    def concatenate(cls, parts: Sequence[Feedback]) -> Self:
        """Return the items of several instances, type by type; instances without a type add no items of it."""
        flat = [inner for part in parts for inner in (part.parts if isinstance(part, Mixed) else (part,))]
        types = list(dict.fromkeys(type(part) for part in flat))
        return cls(tuple(t.concatenate([part for part in flat if type(part) is t]) for t in types))


def _starts(row: Row, types: Sequence[type[Feedback]], start: int = 0) -> Iterator[tuple[type[Feedback], int]]:
    """Yield the feedback types of a row with the position of the first part of each."""
    for index, feedback_type in enumerate(types):
        yield feedback_type, start
        start += feedback_type.num_parts(row) if index + 1 < len(types) else 0


def shift_positions(feedback: Iterable[Feedback], score_counts: Iterable[int] | None = None) -> tuple[Feedback, ...]:
    """Return feedback over separate vectors of scores as feedback over the concatenation of these vectors.

    Args:
        feedback: feedback whose positions start at 0 each.
        score_counts: number of scores of each; by default its largest position plus 1.

    Examples:
        >>> from rlhf_losses.feedback import Pairs
        >>> pair = Pairs(chosen=[0], rejected=[1])
        >>> [one.chosen.item() for one in shift_positions([pair, pair])]
        [0, 2]
    """
    every = list(feedback)
    counts = [one.score_count() for one in every] if score_counts is None else list(score_counts)
    shifted, start = [], 0
    for one, count in zip(every, counts, strict=True):
        shifted.append(one.reindexed(torch.arange(start, start + count)))
        start += count
    return tuple(shifted)
