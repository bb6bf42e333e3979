"""Votes: how many annotators preferred each of two answers."""

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
    optional_per_item,
    per_item,
    require_same_length,
    require_within,
    score_index,
)
from rlhf_losses.feedback.pairs import Pairs
from rlhf_losses.shapes import PairIndex, PerPair

_MOST = 1e9


@dataclass(frozen=True, eq=False)
class Votes(Feedback):
    """Counts for the first and the second answer, and of annotators who saw a tie.

    >>> Votes(first=[0], second=[1], votes_first=[1], votes_second=[2]).to_pairs().preference
    tensor([0.6667])
    """

    first: PairIndex = score_index()
    second: PairIndex = score_index()
    votes_first: PerPair = per_item()
    votes_second: PerPair = per_item()
    ties: PerPair | None = optional_per_item(neutral=0.0)

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
            require_within("Votes", name, values, 0.0, _MOST)
        if bool((self._voters() == 0).any()):
            raise InvalidFeedbackError(
                "Votes got a pair on which nobody voted, which prefers nothing. Drop the pairs without votes."
            )

    @classmethod
    def answers(cls, row: Row) -> list[Answer]:
        return [Answer(row.get("prompt"), (completion,)) for completion in row["completions"]]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        votes = numbers(row, "votes")
        if len(votes) != 2 or len(row.get("completions", votes)) != 2:
            raise InvalidFeedbackError(
                f"Votes got {len(votes)} counts for {len(row.get('completions', votes))} completions. "
                "A vote is between two answers; give two completions and two counts a row."
            )
        ties = None if row.get("ties") is None else torch.tensor([number(row, "ties")])
        first, second = torch.tensor(votes).split(1)
        return cls(torch.tensor([0]), torch.tensor([1]), first, second, ties)

    def _to_coarser(self) -> Pairs:
        return self.to_pairs()

    def to_pairs(self) -> Pairs:
        """Return pairs whose preference is the share of votes, a tie counting half, and the share of ties."""
        ties = torch.zeros_like(self.votes_first) if self.ties is None else self.ties
        share = (self.votes_first + ties / 2) / self._voters()
        first_wins = share >= 0.5
        return Pairs(
            chosen=torch.where(first_wins, self.first, self.second),
            rejected=torch.where(first_wins, self.second, self.first),
            preference=torch.where(first_wins, share, 1 - share),
            tie=ties / self._voters(),
        )

    def _voters(self) -> PerPair:
        cast = self.votes_first + self.votes_second
        return cast if self.ties is None else cast + self.ties
