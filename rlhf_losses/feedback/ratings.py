"""Ratings: one number per answer."""

from dataclasses import dataclass

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
from rlhf_losses.feedback.rankings import Rankings
from rlhf_losses.feedback.row_values import read_list, read_number, read_numbers, read_optional_list
from rlhf_losses.shapes import CandidateIndex, PerCandidate, Sizes


@dataclass(frozen=True, eq=False)
class Ratings(Feedback):
    """One rating per answer.

    Attributes:
        candidates: positions of the answers in the scores, of shape (candidates).
        ratings: rating of each answer, of shape (candidates); higher is better.
        sizes: number of answers to each prompt, of shape (prompts); at least 1.

    Examples:
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
        require_matching_sizes("Ratings", self.sizes, self.candidates)
        if bool((self.sizes < 1).any()):
            raise InvalidFeedbackError("Ratings received a row with 0 ratings, which has no items. Drop the row.")

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        completions = read_list(row, "completions") if "completions" in cls.columns_in(row) else [row["completion"]]
        return [Answer(row.get("prompt"), (completion,)) for completion in completions]

    @classmethod
    def row_fields(cls, row: Row) -> RowFields:
        several = "ratings" in cls.columns_in(row)
        ratings = read_numbers(row, "ratings") if several else [read_number(row, "rating")]
        if several:
            require_same_length("Ratings", completions=read_optional_list(row, "completions"), ratings=ratings)
        return {"candidates": range(len(ratings)), "ratings": ratings, "sizes": [len(ratings)]}

    def _to_coarser(self) -> Rankings:
        return self.to_rankings()

    def to_rankings(self) -> Rankings:
        """Return one ranking per prompt with at least two answers, with the ratings as grades."""
        prompts = Ragged(self.sizes)
        has_several = (self.sizes > 1)[prompts.segment_ids]
        lists, ratings = Ragged(self.sizes[self.sizes > 1]), self.ratings[has_several]
        # Dense ranks over all lists, from best to worst rating and increasing from list to list.
        order = torch.unique(-ratings, return_inverse=True)[1]
        ranks = torch.unique(lists.segment_ids * len(order) + order, return_inverse=True)[1]
        return Rankings(
            candidates=self.candidates[has_several],
            ranks=ranks + lists.max(-ranks)[lists.segment_ids] + 1,
            sizes=lists.sizes,
            grades=ratings,
        )
