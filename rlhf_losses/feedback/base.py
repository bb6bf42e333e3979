"""Base class of feedback: annotations of texts, as index tensors into one vector of scores."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import groupby
from typing import Any, ClassVar, Self, TypeAlias, TypeVar

import torch
from torch import Tensor

from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback.row_values import Row as Row
from rlhf_losses.messages.printed_commands import printed_command
from rlhf_losses.shapes import ItemIndex

Messages = list[dict[str, Any]]
Text: TypeAlias = str | Messages
RowFields = Mapping[str, Sequence[float]]
F = TypeVar("F", bound="Feedback")


@dataclass(frozen=True, slots=True)
class Answer:
    """A text to score: a prompt, then one or more parts, with one score at the end of each part.

    Attributes:
        prompt: text or messages before the answer, or None if the parts are whole texts.
        parts: one part for a whole answer; one part per step for an answer in steps.
        template: arguments of the chat template, for example `tools`.
        system: system prompt of a conversation that has no system message, or None.
        cut_off: whether the text was cut off before its end, so that no EOS follows.
    """

    prompt: str | Messages | None
    parts: tuple[str | Messages, ...]
    template: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    cut_off: bool = False


def score_index() -> Any:
    """Declare a field of positions in the vector of scores."""
    return field(metadata={"dtype": torch.long, "index": True})


def per_item(dtype: torch.dtype = torch.float32) -> Any:
    """Declare a field of one number per item, candidate, step or list."""
    return field(metadata={"dtype": dtype})


def optional_per_item(fill_value: float) -> Any:
    """Declare an optional field of one number per item.

    Args:
        fill_value: number for the items of other rows, where only some rows of a batch have the field.
    """
    return field(default=None, metadata={"dtype": torch.float32, "fill_value": fill_value})


@dataclass(frozen=True, eq=False)
class Feedback(ABC):
    """Base class of the feedback types; `len()` is the number of items.

    A batch has one vector of scores. Feedback does not contain the scores: its fields are vectors, and some of them are
    positions in the scores. So pairs, lists of any length and steps need no padding.

    Attributes:
        columns: sets of dataset columns that contain this feedback type; each set is an alternative.
        optional_columns: further columns.
        coarser_type: feedback type that this one converts to by discarding information, or None.
    """

    columns: ClassVar[tuple[tuple[str, ...], ...]] = ()
    optional_columns: ClassVar[tuple[str, ...]] = ()
    coarser_type: "ClassVar[type[Feedback] | None]" = None

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None:
                object.__setattr__(self, f.name, _as_vector(type(self).__name__, f.name, value, f.metadata["dtype"]))
        self.check()

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of items."""

    @property
    @abstractmethod
    def item_positions(self) -> ItemIndex:
        """One position in the scores for each item, which identifies the text and the prompt of the item."""

    @abstractmethod
    def check(self) -> None:
        """Raise `InvalidFeedbackError` for invalid values."""

    @classmethod
    @abstractmethod
    def answers(cls, row: Row) -> list[Answer]:
        """Return the texts of one row of a dataset."""

    @classmethod
    def row_fields(cls, row: Row) -> RowFields:
        """Return the fields of the feedback of one row by name; positions count the parts of `answers(row)` from 0."""
        raise NotImplementedError(f"{cls.__name__} must define row_fields.")

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the feedback of one row; its positions count the parts of `answers(row)` from 0."""
        return cls(**cls.row_fields(row))

    @classmethod
    def from_fields(cls, rows: Iterable[RowFields], starts: Iterable[int]) -> Self:
        """Return the feedback of several rows, in one vector per field.

        Args:
            rows: fields of each row, from `row_fields`.
            starts: for each row, the position of its first part in the scores.
        """
        # Rows with the same fields are joined as lists, because a tensor of one number takes as long as one of many.
        runs = [list(run) for _, run in groupby(zip(rows, starts, strict=True), key=lambda one: one[0].keys())]
        parts = [cls(**{f.name: _joined(run, f) for f in fields(cls) if f.name in run[0][0]}) for run in runs]
        return parts[0] if len(parts) == 1 else cls.concatenate(parts)

    @classmethod
    def row_positions(cls, row: Row) -> list[int]:
        """Return the positions that the fields of one row contain."""
        of_row = cls.row_fields(row)
        return [int(one) for name in _index_fields(cls) for one in of_row[name]]

    @classmethod
    def num_parts(cls, row: Row) -> int:
        """Return the number of parts of `answers(row)`; the text columns may be missing."""
        return max(cls.row_positions(row), default=-1) + 1

    @classmethod
    def columns_in(cls, row: Row) -> tuple[str, ...]:
        """Return the set of columns of this type of which a row has most values; the last one of equal sets."""
        return max(reversed(cls.columns), key=lambda names: sum(row.get(name) is not None for name in names))

    @classmethod
    def matches_columns(cls, columns: Sequence[str]) -> bool:
        """Return whether a dataset with these columns contains this feedback type."""
        return any(set(alternative) <= set(columns) for alternative in cls.columns)

    @classmethod
    def is_annotated(cls, row: Row) -> bool:
        """Return whether a row, which has values in all columns of this type, has at least one annotation."""
        return True

    @classmethod
    def is_convertible_to(cls, feedback_type: "type[Feedback]") -> bool:
        """Return whether this type is `feedback_type`, or converts to it by discarding information."""
        coarser = cls.coarser_type
        return issubclass(cls, feedback_type) or (coarser is not None and coarser.is_convertible_to(feedback_type))

    def convert_to(self, feedback_type: type[F]) -> F:
        """Return this feedback as another type.

        Raises:
            FeedbackMismatchError: the conversion needs information that this type does not have.
        """
        if isinstance(self, feedback_type):
            return self
        if not self.is_convertible_to(feedback_type):
            name = type(self).__name__
            losses = printed_command("list", "--feedback", name.lower())
            raise FeedbackMismatchError(
                f"{name} cannot be converted to {feedback_type.__name__}: conversions only discard information (Votes "
                f"to Pairs, Ratings to Rankings to Pairs). Use a loss for {name} from the list of '{losses}'."
            )
        return self._to_coarser().convert_to(feedback_type)

    def _to_coarser(self) -> "Feedback":
        """Return this feedback as `coarser_type`."""
        raise NotImplementedError(f"{type(self).__name__} sets coarser_type and must define _to_coarser.")

    def to(self, device: torch.device | str) -> Self:
        """Return a copy on a device."""
        return self._map(lambda value, _: value.to(device))

    def positions(self) -> Tensor:
        """Return all positions in the scores that the fields contain."""
        return torch.cat([getattr(self, f.name) for f in fields(self) if f.metadata.get("index")])

    def score_count(self) -> int:
        """Return the largest position in the scores plus 1."""
        return max(self.positions().tolist(), default=-1) + 1

    def reindexed(self, new_positions: Tensor) -> Self:
        """Return a copy in which position `i` of the scores is `new_positions[i]`."""
        return self._map(lambda value, metadata: new_positions[value] if metadata.get("index") else value)

    @classmethod
    def concatenate(cls, parts: "Sequence[Feedback]") -> Self:
        """Return the items of several instances of this type over the same vector of scores."""
        return cls(**{f.name: _concatenate([getattr(p, f.name) for p in parts], f, parts) for f in fields(cls)})

    def _map(self, function: Callable[[Tensor, Mapping[str, Any]], Tensor]) -> Self:
        values = {f.name: (getattr(self, f.name), f.metadata) for f in fields(self)}
        return replace(self, **{name: function(*value) for name, value in values.items() if value[0] is not None})


@cache
def _index_fields(feedback_type: type[Feedback]) -> tuple[str, ...]:
    """Return the names of the fields that are positions in the scores."""
    return tuple(f.name for f in fields(feedback_type) if f.metadata.get("index"))


def require_same_length(owner: str, **values: Tensor | Sequence[Any] | None) -> None:
    """Raise `InvalidFeedbackError` if the named vectors differ in length.

    Args:
        owner: feedback type, for the message.
        values: vectors by name; None is ignored.
    """
    lengths = {name: len(value) for name, value in values.items() if value is not None}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise InvalidFeedbackError(
            f"{owner} received {counts}, but each item needs one of each. Complete the data, or drop the incomplete "
            "rows."
        )


def require_matching_sizes(owner: str, sizes: Tensor, elements: Tensor) -> None:
    """Raise `InvalidFeedbackError` unless the sizes of lists add up to the number of elements."""
    if int(sizes.sum()) != len(elements):
        raise InvalidFeedbackError(
            f"{owner} received sizes that add up to {int(sizes.sum())} for {len(elements)} elements, but each element "
            "belongs to exactly one list. Pass one size per list."
        )


def require_finite(owner: str, column: str, values: Tensor | None) -> None:
    """Raise `InvalidFeedbackError` for NaN or infinite values."""
    if values is not None and not bool(torch.isfinite(values).all()):
        invalid = values[~torch.isfinite(values)][0].item()
        raise InvalidFeedbackError(
            f"{owner} received the {column} {invalid}, but losses need finite numbers. Replace it with a number, or "
            "drop the row."
        )


def require_in_range(owner: str, column: str, values: Tensor | None, low: float, high: float) -> None:
    """Raise `InvalidFeedbackError` for values outside `[low, high]`."""
    require_finite(owner, column, values)
    if values is not None and bool(((values < low) | (values > high)).any()):
        invalid = values[(values < low) | (values > high)][0].item()
        raise InvalidFeedbackError(
            f"{owner} received the {column} {invalid:g}, which is outside {low:g} to {high:g}. Rescale the column "
            f"{column}, or drop the row."
        )


def _as_vector(owner: str, name: str, value: Any, dtype: torch.dtype) -> Tensor:
    try:
        tensor = torch.as_tensor(value, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidFeedbackError(
            f"{owner} received {name}={value!r:.60}, which is no vector of numbers: {error}. Pass a list of numbers."
        ) from error
    if tensor.ndim != 1:
        # A column of margins would broadcast against a vector of score differences to a matrix, without an error.
        is_column = tensor.numel() == max(tensor.shape, default=1)
        remedy = f"Pass {name}.reshape(-1)." if is_column else "Pass one value per item."
        raise InvalidFeedbackError(
            f"{owner} received {name} of shape {tuple(tensor.shape)}, but a vector is needed. {remedy}"
        )
    return tensor


def _joined(rows: Iterable[tuple[RowFields, int]], f: Any) -> list[float]:
    """Return one field of several rows; positions are shifted by the start of their row."""
    if f.metadata.get("index"):
        return [start + value for of_row, start in rows for value in of_row[f.name]]
    return [value for of_row, _ in rows for value in of_row[f.name]]


def _concatenate(values: list[Tensor | None], f: Any, parts: Sequence[Feedback]) -> Tensor | None:
    if all(value is None for value in values):
        return None if "fill_value" in f.metadata else torch.empty(0, dtype=f.metadata["dtype"])
    filled = [
        torch.full((len(part),), f.metadata["fill_value"], device=part.item_positions.device)
        if value is None
        else value
        for value, part in zip(values, parts, strict=True)
    ]
    return torch.cat(filled)
