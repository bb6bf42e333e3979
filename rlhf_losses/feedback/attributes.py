"""Attributes: several ratings per answer, each for a named quality."""

from dataclasses import dataclass
from zlib import crc32

import torch

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
from rlhf_losses.feedback.row_values import read_list, read_named_numbers, read_optional_list
from rlhf_losses.shapes import CandidateIndex, ItemIndex, PerItem


@dataclass(frozen=True, eq=False)
class Attributes(Feedback):
    """Ratings of answers by named attributes.

    Attributes:
        candidates: positions of the answers in the scores, one for each attribute of each answer; of shape (items).
        attribute_ids: id of the attribute, see `attribute_id`; of shape (items).
        values: rating of the attribute, of shape (items); NaN if it is missing.

    Examples:
        >>> feedback = Attributes.from_row({"completion": "Yes.", "attributes": {"helpful": 4, "brief": None}})
        >>> feedback.is_attribute("helpful").tolist(), feedback.is_rated.tolist()
        ([True, False], [True, False])
    """

    candidates: CandidateIndex = score_index()
    attribute_ids: ItemIndex = per_item(torch.long)
    values: PerItem = per_item()

    columns = (("completion", "attributes"), ("completions", "attributes"))
    optional_columns = ("prompt",)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def item_positions(self) -> CandidateIndex:
        return self.candidates

    @property
    def is_rated(self) -> torch.Tensor:
        """A mask of the items whose rating is not missing."""
        return ~self.values.isnan()

    def is_attribute(self, name: str) -> torch.Tensor:
        """Return a mask of the items of one attribute."""
        return self.attribute_ids == attribute_id(name)

    def check(self) -> None:
        fields = {"candidates": self.candidates, "attribute_ids": self.attribute_ids, "values": self.values}
        require_same_length("Attributes", **fields)
        require_finite("Attributes", "attribute", self.values[self.is_rated])

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        completions = read_list(row, "completions") if "completions" in cls.columns_in(row) else [row["completion"]]
        return [Answer(row.get("prompt"), (completion,)) for completion in completions]

    @classmethod
    def row_fields(cls, row: Row) -> RowFields:
        ratings = read_named_numbers(row, "attributes")
        single = None if row.get("completion") is None or "completions" in cls.columns_in(row) else [row["completion"]]
        require_same_length(
            "Attributes", completions=read_optional_list(row, "completions"), completion=single, attributes=ratings
        )
        items = [
            (position, attribute_id(name), value)
            for position, by_name in enumerate(ratings)
            for name, value in by_name.items()
        ]
        candidates, attribute_ids, values = zip(*items, strict=True) if items else ((), (), ())
        return {"candidates": candidates, "attribute_ids": attribute_ids, "values": values}


def attribute_id(name: str) -> int:
    """Return the id of an attribute name; it is the same in every process."""
    return crc32(name.encode())
