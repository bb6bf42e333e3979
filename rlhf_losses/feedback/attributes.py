"""Attributes: several numbers an answer, each for a quality that has a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from zlib import crc32

import torch

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import (
    Answer,
    Feedback,
    Row,
    number,
    per_item,
    require_finite,
    require_same_length,
    score_index,
)
from rlhf_losses.shapes import CandidateIndex, ItemIndex, PerItem


@dataclass(frozen=True, eq=False)
class Attributes(Feedback):
    """Ratings of an answer by attribute; NaN where an attribute was not rated.

    >>> said = Attributes.from_row({"completion": "Yes.", "attributes": {"helpful": 4, "brief": None}})
    >>> said.named("helpful").tolist(), said.rated.tolist()
    ([True, False], [True, False])
    """

    candidates: CandidateIndex = score_index()
    names: ItemIndex = per_item(torch.long)
    """The code of each attribute's name, see `code`: tensors hold no text."""
    values: PerItem = per_item()

    columns = (("completion", "attributes"), ("completions", "attributes"))
    optional_columns = ("prompt",)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def item_positions(self) -> CandidateIndex:
        return self.candidates

    @property
    def rated(self) -> torch.Tensor:
        """Tell which attributes were rated at all."""
        return ~self.values.isnan()

    def named(self, name: str) -> torch.Tensor:
        """Tell which entries are about an attribute."""
        return self.names == code(name)

    def check(self) -> None:
        require_same_length("Attributes", candidates=self.candidates, names=self.names, values=self.values)
        require_finite("Attributes", "attribute", self.values[self.rated])

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        completions = row["completions"] if row.get("completions") is not None else [row["completion"]]
        return [Answer(row.get("prompt"), (completion,)) for completion in completions]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        several = isinstance(row["attributes"], Sequence) and not isinstance(row["attributes"], str)
        each = list(row["attributes"]) if several else [row["attributes"]]
        if row.get("completions") is not None:
            require_same_length("Attributes", completions=row["completions"], attributes=each)
        said = [(place, code(name), _value(one, name)) for place, one in enumerate(each) for name in _names(one)]
        candidates, names, values = zip(*said, strict=True) if said else ((), (), ())
        return cls(torch.tensor(candidates), torch.tensor(names), torch.tensor(values))


def code(name: str) -> int:
    """Return the number that stands for an attribute's name, the same in every process and run."""
    return crc32(name.encode())


def _names(said: Any) -> list[str]:
    if not isinstance(said, Mapping):
        raise InvalidFeedbackError(
            f"A row got attributes = {said!r}, which has no names. "
            'Write a number for each name: {"helpfulness": 4, "verbosity": 2}, or null where one is missing.'
        )
    return list(said)


def _value(said: Mapping[str, Any], name: str) -> float:
    return number(said, name)
