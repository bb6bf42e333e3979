"""Ratings: one number an answer."""

from dataclasses import dataclass
from typing import Self

import torch

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import (
    Answer,
    Feedback,
    Row,
    number,
    numbers,
    per_item,
    require_cover,
    require_finite,
    require_same_length,
    score_index,
)
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.feedback.rankings import Rankings
from rlhf_losses.shapes import CandidateIndex, PerCandidate, Sizes


@dataclass(frozen=True, eq=False)
class Ratings(Feedback):
    """One rating a candidate; `sizes` says how many candidates in a row answer the same prompt.

    >>> Ratings(candidates=[0, 1, 2], ratings=[3.0, 5.0, 4.0], sizes=[3]).to_rankings().ranks
    tensor([3, 1, 2])
    """

    candidates: CandidateIndex = score_index()
    ratings: PerCandidate = per_item()
    sizes: Sizes = per_item(torch.long)

    columns = (("completion", "rating"), ("completions", "ratings"))
    optional_columns = ("prompt",)
    coarser_type = Rankings

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def item_positions(self) -> CandidateIndex:
        return self.candidates

    def check(self) -> None:
        require_same_length("Ratings", candidates=self.candidates, ratings=self.ratings)
        require_finite("Ratings", "rating", self.ratings)
        require_cover("Ratings", self.sizes, self.candidates)
        if bool((self.sizes < 1).any()):
            raise InvalidFeedbackError("Ratings got a prompt without ratings, which says nothing. Drop the row.")

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        completions = row["completions"] if row.get("ratings") is not None else [row["completion"]]
        return [Answer(row.get("prompt"), (completion,)) for completion in completions]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        ratings = numbers(row, "ratings") if row.get("ratings") is not None else [number(row, "rating")]
        if row.get("ratings") is not None and row.get("completions") is not None:
            require_same_length("Ratings", completions=row["completions"], ratings=ratings)
        return cls(torch.arange(len(ratings)), torch.tensor(ratings), sizes=torch.tensor([len(ratings)]))

    def _to_coarser(self) -> Rankings:
        return self.to_rankings()

    def to_rankings(self) -> Rankings:
        """Rank the answers of each prompt by their rating, its grade; prompts with one answer rank nothing."""
        prompts = Ragged(self.sizes)
        several = (self.sizes > 1)[prompts.of]
        lists, ratings = prompts.only(several), self.ratings[several]
        lists = Ragged(lists.sizes[lists.sizes > 0])
        # Ratings in words of their order, numbered on from list to list.
        order = torch.unique(-ratings, return_inverse=True)[1]
        ranks = torch.unique(lists.of * len(order) + order, return_inverse=True)[1]
        return Rankings(
            candidates=self.candidates[several],
            ranks=ranks + lists.highest(-ranks)[lists.of] + 1,
            sizes=lists.sizes,
            grades=ratings,
        )
