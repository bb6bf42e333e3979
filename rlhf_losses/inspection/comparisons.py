"""Who was preferred to whom: every kind of feedback as counts for and against, between two texts."""

from dataclasses import dataclass

import numpy as np
import torch

from rlhf_losses.feedback import Feedback, Labels, Pairs, Steps, StepwiseRankings, Votes
from rlhf_losses.inspection.annotations import AnnotatedTexts

BAR = -1
"""What labels compare a text with: good texts are above it and bad ones below, whatever their prompt."""

SIGNS = torch.tensor([-1.0, 0.0, 1.0])


@dataclass(frozen=True)
class Comparisons:
    """One entry a comparison; `first` and `second` are positions of scores, or numbers of texts, or `BAR`."""

    first: np.ndarray
    second: np.ndarray
    wins: np.ndarray
    """AttentionOptions many annotators preferred the first; a share where only a probability is known."""
    ties: np.ndarray
    defeats: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    @property
    def annotations(self) -> np.ndarray:
        """AttentionOptions many annotators spoke."""
        return self.wins + self.ties + self.defeats

    @property
    def vote_difference(self) -> np.ndarray:
        """Above 0 where the first is preferred, below 0 where the second is, and 0 for a tie."""
        return np.sign(self.wins - self.defeats)

    @property
    def contradicted(self) -> np.ndarray:
        """Tell where each side was preferred by somebody."""
        return (self.wins > 0) & (self.defeats > 0)

    def by_majority(self) -> "Comparisons":
        """Count each comparison once, for the side that has more voices, as `rlhf-losses evaluate` does."""
        vote_difference = self.vote_difference
        sides = [(vote_difference == side).astype(float) for side in (1, 0, -1)]
        return Comparisons(self.first, self.second, *sides)


def comparisons(kind: Feedback) -> Comparisons | None:
    """Return what one kind of feedback compares; nothing for ratings that are no labels."""
    if type(kind).is_convertible_to(Pairs):
        return _of_pairs(kind)
    if isinstance(kind, StepwiseRankings):
        ends = kind.steps[kind.counts.cumsum(0) - 1]
        return _of_pairs(kind.of_answers().reindexed(ends))
    if isinstance(kind, Labels | Steps):
        return _of_labels(kind.item_positions, kind.labels if isinstance(kind, Labels) else kind.values)
    return None


def _of_pairs(kind: Feedback) -> Comparisons:
    pairs = kind.convert_to(Pairs)
    assert isinstance(pairs, Pairs)
    voices = torch.ones(len(pairs))
    if isinstance(kind, Votes):
        voices = kind.votes_first + kind.votes_second + (0 if kind.ties is None else kind.ties)
    counts = [(share * voices).numpy().astype(float).round(6) for share in pairs.outcomes()]
    return Comparisons(pairs.chosen.numpy(), pairs.rejected.numpy(), *counts)


def _of_labels(positions: torch.Tensor, values: torch.Tensor) -> Comparisons | None:
    if not bool(torch.isin(values, SIGNS).all()):
        return None
    good = (values > 0).numpy().astype(float)
    return Comparisons(positions.numpy(), np.full(len(good), BAR), good, np.zeros_like(good), 1 - good)


def merged(said: AnnotatedTexts, compared: Comparisons) -> Comparisons:
    """Add up what was said about the same two texts, in whatever order; a text is not compared with itself."""
    texts = np.append(said.text, BAR)  # position -1 is the bar
    first, second = texts[compared.first], texts[compared.second]
    differ = first != second
    turned = (first > second)[differ]
    low, high = np.minimum(first, second)[differ], np.maximum(first, second)[differ]
    wins, ties, defeats = compared.wins[differ], compared.ties[differ], compared.defeats[differ]
    two, which = np.unique(np.stack([low, high]), axis=1, return_inverse=True)
    which = which.reshape(-1)
    counts = [
        np.bincount(which, weights=weights, minlength=two.shape[1])
        for weights in (np.where(turned, defeats, wins), ties, np.where(turned, wins, defeats))
    ]
    return Comparisons(two[0], two[1], *counts)
