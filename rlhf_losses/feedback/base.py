"""What people said, as index tensors into one flat vector of scores.

A batch has one vector of scores. Feedback never holds the scores: it says which of them were
compared, ranked, rated or labelled. That keeps pairs, lists of any length and steps free of padding.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.shapes import ItemIndex

Messages = list[dict[str, Any]]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """One text to be scored: a prompt, then one or more parts, with a score read at the end of each part.

    A whole answer has one part; an answer in steps has one part a step.
    """

    prompt: str | Messages | None
    parts: tuple[str | Messages, ...]


def score_index() -> Any:
    """Declare a field that holds positions in the vector of scores."""
    return field(metadata={"dtype": torch.long, "index": True})


def per_item(dtype: torch.dtype = torch.float32) -> Any:
    """Declare a field with one number an item (or a candidate)."""
    return field(metadata={"dtype": dtype})


def optional_per_item(neutral: float) -> Any:
    """Declare a field that may be absent; `neutral` stands in where only some rows have it."""
    return field(default=None, metadata={"dtype": torch.float32, "neutral": neutral})


@dataclass(frozen=True, eq=False)
class Feedback(ABC):
    """One kind of feedback over a vector of scores; `len()` is its number of items."""

    columns: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """The sets of data columns that hold this kind, each a way to write it."""
    optional_columns: ClassVar[tuple[str, ...]] = ()
    coarser_type: "ClassVar[type[Feedback] | None]" = None
    """The kind that this one may be read as, with a loss of information; `_to_coarser` does it."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None:
                object.__setattr__(self, f.name, _as_vector(type(self).__name__, f.name, value, f.metadata["dtype"]))
        self.check()

    @abstractmethod
    def __len__(self) -> int:
        """Count the items."""

    @property
    @abstractmethod
    def item_positions(self) -> ItemIndex:
        """One score position an item, which tells the text (and prompt) that the item belongs to."""

    @abstractmethod
    def check(self) -> None:
        """Raise `InvalidFeedbackError` for values that cannot be."""

    @classmethod
    @abstractmethod
    def answers(cls, row: Row) -> list[Answer]:
        """Return the texts of one data row."""

    @classmethod
    @abstractmethod
    def from_row(cls, row: Row) -> Self:
        """Read one data row; score positions count the parts of `answers(row)` from 0."""

    @classmethod
    def held_by(cls, columns: Sequence[str]) -> bool:
        """Tell whether data with these columns hold this kind of feedback."""
        return any(set(way) <= set(columns) for way in cls.columns)

    @classmethod
    def is_convertible_to(cls, kind: "type[Feedback]") -> bool:
        """Tell whether this kind can be read as `kind`: itself, or a kind below it."""
        return issubclass(cls, kind) or (cls.coarser_type is not None and cls.coarser_type.is_convertible_to(kind))

    def _to_coarser(self) -> "Feedback":
        """Return this feedback as `coarser_type`."""
        raise FeedbackMismatchError(
            f"{type(self).__name__} cannot be read as another kind: conversions go down only (Votes to Pairs, "
            f"Ratings to Rankings to Pairs). Take a loss that reads {type(self).__name__}: "
            f"rlhf-losses list --feedback {type(self).__name__.lower()}"
        )

    def convert_to(self, kind: "type[Feedback]") -> "Feedback":
        """Return this feedback as `kind`, going down if that is allowed."""
        return self if isinstance(self, kind) else self._to_coarser().convert_to(kind)

    def to(self, device: torch.device | str) -> Self:
        """Move every tensor to a device."""
        return self._map(lambda value, _: value.to(device))

    def score_count(self) -> int:
        """Return one more than the highest score position that this feedback refers to."""
        positions = [getattr(self, f.name) for f in fields(self) if f.metadata.get("index")]
        return max((int(p.max()) + 1 for p in positions if len(p)), default=0)

    def reindexed(self, new_position: Tensor) -> Self:
        """Replace score position `i` by `new_position[i]`."""
        return self._map(lambda value, meta: new_position[value] if meta.get("index") else value)

    @classmethod
    def concatenate(cls, parts: "Sequence[Feedback]") -> Self:
        """Join feedback over the same vector of scores, item after item."""
        return cls(**{f.name: _join([getattr(p, f.name) for p in parts], f, parts) for f in fields(cls)})

    def _map(self, change: Callable[[Tensor, Mapping[str, Any]], Tensor]) -> Self:
        changed = {
            f.name: change(getattr(self, f.name), f.metadata) for f in fields(self) if getattr(self, f.name) is not None
        }
        return replace(self, **changed)


def require_same_length(kind: str, **tensors: Tensor | Sequence[Any] | None) -> None:
    """Raise `InvalidFeedbackError` if the named vectors differ in length."""
    lengths = {name: len(value) for name, value in tensors.items() if value is not None}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise InvalidFeedbackError(
            f"{kind} got {told}. Each item needs one of each; complete the data or drop the incomplete rows."
        )


def require_cover(kind: str, sizes: Tensor, candidates: Tensor) -> None:
    """Raise `InvalidFeedbackError` unless the sizes of the lists add up to the number of candidates."""
    if int(sizes.sum()) != len(candidates):
        raise InvalidFeedbackError(
            f"{kind} got sizes that add up to {int(sizes.sum())} for {len(candidates)} candidates. "
            "The sizes must cover every candidate once; give one size a list."
        )


def require_finite(kind: str, name: str, values: Tensor | None) -> None:
    """Raise `InvalidFeedbackError` for NaN or infinite values."""
    if values is not None and not bool(torch.isfinite(values).all()):
        bad = values[~torch.isfinite(values)][0].item()
        raise InvalidFeedbackError(
            f"{kind} got the {name} {bad}, which no loss can price. Replace it by a number or drop the row."
        )


def require_within(kind: str, name: str, values: Tensor | None, low: float, high: float) -> None:
    """Raise `InvalidFeedbackError` for values outside `[low, high]`."""
    require_finite(kind, name, values)
    if values is not None and bool(((values < low) | (values > high)).any()):
        bad = values[(values < low) | (values > high)][0].item()
        raise InvalidFeedbackError(
            f"{kind} got the {name} {bad:g}, outside {low:g} to {high:g}. Rescale the column {name}."
        )


def numbers(row: Row, name: str) -> list[float]:
    """Read a list column of numbers; missing entries become NaN, which `check` then names."""
    if isinstance(row[name], str) or not isinstance(row[name], Iterable):
        raise InvalidFeedbackError(f"A row got {name} = {row[name]!r}, which is no list. Write a list of numbers.")
    return [_read(name, value) for value in row[name]]


def number(row: Row, name: str) -> float:
    """Read a number column; a missing value becomes NaN, which `check` then names."""
    return _read(name, row[name])


def _read(name: str, value: Any) -> float:
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError):
        raise InvalidFeedbackError(f"A row got {name} = {value!r}, which is no number. Write a number.") from None


def _as_vector(kind: str, name: str, value: Any, dtype: torch.dtype) -> Tensor:
    tensor = torch.as_tensor(value, dtype=dtype)
    if tensor.ndim != 1:
        # Against a vector of leads a column of margins would spread to a square, which is no error to torch.
        raise InvalidFeedbackError(
            f"{kind} got {name} of the shape {tuple(tensor.shape)}. It holds one number an item, in a vector; "
            f"pass {name}.reshape(-1)."
        )
    return tensor


def _join(values: list[Tensor | None], f: Any, parts: Sequence[Feedback]) -> Tensor | None:
    if all(value is None for value in values):
        return None if "neutral" in f.metadata else torch.empty(0, dtype=f.metadata["dtype"])
    filled = [
        torch.full((len(part),), f.metadata["neutral"], device=part.item_positions.device) if value is None else value
        for value, part in zip(values, parts, strict=True)
    ]
    return torch.cat(filled)
