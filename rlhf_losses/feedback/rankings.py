"""Rankings: lists of answers to one prompt, ordered by quality, with ties."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

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
from rlhf_losses.feedback.pairs import Pairs
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.feedback.row_values import read_list, read_numbers, read_optional_list
from rlhf_losses.shapes import CandidateIndex, ItemIndex, PerCandidate, Ranks, Scores, Sizes


def dense_ranks(owner: str, numbers: Sequence[float]) -> list[int]:
    """Return ranks without gaps, from 1, in the order of any numbers; numbers that are equal in float32 are ties.

    Args:
        owner: feedback type, for messages.
        numbers: ranks as a column contains them.

    Raises:
        InvalidFeedbackError: a number is NaN or infinite.

    Examples:
        >>> dense_ranks("Rankings", [10.0, 0.5, 10.0])
        [2, 1, 2]
    """
    rounded = array("f", numbers)
    if not all(map(isfinite, rounded)):
        require_finite(owner, "ranks", torch.tensor(numbers))
    order = {number: rank for rank, number in enumerate(sorted(set(rounded)), 1)}
    return [order[number] for number in rounded]


@dataclass(frozen=True, eq=False)
class Rankings(Feedback):
    """Lists of ranked candidates, one list after another.

    Attributes:
        candidates: positions of the answers in the scores, of shape (candidates).
        ranks: rank of each candidate in its list, of shape (candidates); 1 is best, and equal ranks are ties.
        sizes: number of candidates of each list, of shape (lists); at least 2.
        grades: quality of each candidate, of shape (candidates); higher is better. By default the number of ranks below
            it in its list. Rankings from ratings have the ratings as grades.

    Examples:
        >>> two_lists = Rankings(candidates=[0, 1, 2, 3, 4], ranks=[1, 2, 2, 1, 2], sizes=[3, 2])
        >>> len(two_lists)
        2
        >>> two_lists.to_pairs().preference
        tensor([1.0000, 1.0000, 0.5000, 1.0000])
        >>> two_lists.grades
        tensor([1., 0., 0., 1., 0.])
    """

    candidates: CandidateIndex = score_index()
    ranks: Ranks = per_item(torch.long)
    sizes: Sizes = per_item(torch.long)
    grades: PerCandidate | None = field(default=None, metadata={"dtype": torch.float32})

    columns = (("completions", "ranks"),)
    optional_columns = ("prompt",)
    coarser_type = Pairs

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grades is None:
            object.__setattr__(self, "grades", self._ranks_below())

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def item_positions(self) -> ItemIndex:
        return self.candidates[Ragged(self.sizes).starts]

    def check(self) -> None:
        require_same_length("Rankings", candidates=self.candidates, ranks=self.ranks, grades=self.grades)
        require_finite("Rankings", "grades", self.grades)
        require_matching_sizes("Rankings", self.sizes, self.candidates)
        if bool((self.sizes < 2).any()):
            raise InvalidFeedbackError(
                f"Rankings received a list of {int(self.sizes.min())} candidates, but a ranking needs at least two. "
                "Add candidates, or drop the row."
            )

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), (completion,)) for completion in read_list(row, "completions")]

    @classmethod
    def row_fields(cls, row: Row) -> RowFields:
        ranks = read_numbers(row, "ranks")
        require_same_length("Rankings", completions=read_optional_list(row, "completions"), ranks=ranks)
        return {"candidates": range(len(ranks)), "ranks": dense_ranks("Rankings", ranks), "sizes": [len(ranks)]}

    def lists(self, scores: Scores) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the scores and the ranks of each list."""
        lists = Ragged(self.sizes)
        return list(zip(lists.split(scores[self.candidates]), lists.split(self.ranks), strict=True))

    def graded_lists(self, scores: Scores) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the scores and the grades of each list."""
        assert self.grades is not None
        lists = Ragged(self.sizes)
        return list(zip(lists.split(scores[self.candidates]), lists.split(self.grades), strict=True))

    def _to_coarser(self) -> Pairs:
        return self.to_pairs()

    def to_pairs(self) -> Pairs:
        """Return every pair of candidates of each list; a tie is a pair with preference 0.5."""
        first, second = Ragged(self.sizes).pairs()
        better = torch.where(self.ranks[first] <= self.ranks[second], first, second)
        worse = first + second - better
        preference = torch.where(self.ranks[first] == self.ranks[second], 0.5, 1.0)
        return Pairs(self.candidates[better], self.candidates[worse], preference=preference)

    def _ranks_below(self) -> PerCandidate:
        lists = Ragged(self.sizes)
        return (lists.max(self.ranks)[lists.segment_ids] - self.ranks).float()
