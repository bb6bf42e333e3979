"""Votes: the number of annotators who preferred each of two answers."""

from dataclasses import dataclass

import torch

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import (
    Answer,
    Feedback,
    Row,
    RowFields,
    optional_per_item,
    per_item,
    require_in_range,
    require_same_length,
    score_index,
)
from rlhf_losses.feedback.pairs import Pairs
from rlhf_losses.feedback.row_values import read_list, read_number, read_numbers, read_optional_list
from rlhf_losses.shapes import PairIndex, PerPair

_MAX_VOTES = 1e9


@dataclass(frozen=True, eq=False)
class Votes(Feedback):
    """Number of votes for each of two answers, and for a tie.

    Attributes:
        first: positions of the first answers in the scores, of shape (pairs).
        second: positions of the second answers, of shape (pairs).
        votes_first: number of votes for the first answer, of shape (pairs).
        votes_second: number of votes for the second answer, of shape (pairs).
        ties: number of votes for a tie, of shape (pairs); None means no such votes.

    Examples:
        >>> Votes(first=[0], second=[1], votes_first=[1], votes_second=[2]).to_pairs().preference
        tensor([0.6667])
    """

    first: PairIndex = score_index()
    second: PairIndex = score_index()
    votes_first: PerPair = per_item()
    votes_second: PerPair = per_item()
    ties: PerPair | None = optional_per_item(fill_value=0.0)

    columns = (("completions", "votes"),)
    optional_columns = ("prompt", "ties")
    coarser_type = Pairs

    def __len__(self) -> int:
        return len(self.first)

    @property
    def item_positions(self) -> PairIndex:
        return self.first

    def check(self) -> None:
        counts = {"votes_first": self.votes_first, "votes_second": self.votes_second, "ties": self.ties}
        require_same_length("Votes", first=self.first, second=self.second, **counts)
        for name, values in counts.items():
            require_in_range("Votes", name, values, 0.0, _MAX_VOTES)
        if bool((self._total() == 0).any()):
            raise InvalidFeedbackError("Votes received a pair with 0 votes, which has no preference. Drop the row.")

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), (completion,)) for completion in read_list(row, "completions")]

    @classmethod
    def row_fields(cls, row: Row) -> RowFields:
        votes = read_numbers(row, "votes")
        completions = votes if (given := read_optional_list(row, "completions")) is None else given
        if len(votes) != 2 or len(completions) != 2:
            raise InvalidFeedbackError(
                f"Votes received {len(votes)} counts for {len(completions)} completions, but a vote is between two "
                "answers. Write two completions and two counts per row."
            )
        ties = {} if row.get("ties") is None else {"ties": [read_number(row, "ties")]}
        return {"first": [0], "second": [1], "votes_first": votes[:1], "votes_second": votes[1:], **ties}

    def _to_coarser(self) -> Pairs:
        return self.to_pairs()

    def to_pairs(self) -> Pairs:
        """Return pairs with the shares of votes as `preference`, where a tie counts one half, and as `tie`."""
        ties = torch.zeros_like(self.votes_first) if self.ties is None else self.ties
        share = (self.votes_first + ties / 2) / self._total()
        first_wins = share >= 0.5
        return Pairs(
            chosen=torch.where(first_wins, self.first, self.second),
            rejected=torch.where(first_wins, self.second, self.first),
            preference=torch.where(first_wins, share, 1 - share),
            tie=ties / self._total(),
        )

    def _total(self) -> PerPair:
        decided = self.votes_first + self.votes_second
        return decided if self.ties is None else decided + self.ties
