"""Comparisons of texts: feedback as counts of annotations for and against a text."""

from dataclasses import dataclass

import numpy as np
import torch

from rlhf_losses.feedback import Feedback, Labels, Pairs, Steps, StepwiseRankings, Votes
from rlhf_losses.inspection.annotations import AnnotatedTexts, BoolVector, FloatVector, IntVector

LABEL_THRESHOLD = -1
"""Second side of the comparison for a label: a positive label is a win against it, a negative label a defeat."""

LABEL_VALUES = torch.tensor([-1.0, 0.0, 1.0])


@dataclass(frozen=True)
class Comparisons:
    """Annotations of comparisons between two texts.

    Attributes:
        first: score position or text id of the first side.
        second: the same of the second side, or `LABEL_THRESHOLD`.
        wins: number of annotations that prefer the first side; a fraction if only a probability is known.
        ties: number of annotated ties.
        defeats: number of annotations that prefer the second side.
    """

    first: IntVector
    second: IntVector
    wins: FloatVector
    ties: FloatVector
    defeats: FloatVector

    def __len__(self) -> int:
        return len(self.first)

    @property
    def annotations(self) -> FloatVector:
        """Number of annotations of each comparison."""
        return self.wins + self.ties + self.defeats

    @property
    def direction(self) -> FloatVector:
        """+1 if most annotations prefer the first side, −1 if most prefer the second, and 0 for a draw."""
        return np.sign(self.wins - self.defeats)

    @property
    def is_contradictory(self) -> BoolVector:
        """Whether annotations prefer both sides."""
        return (self.wins > 0) & (self.defeats > 0)

    @property
    def is_label(self) -> bool:
        """Whether all comparisons are with `LABEL_THRESHOLD`."""
        return bool((self.second == LABEL_THRESHOLD).all())

    def majority(self) -> "Comparisons":
        """Return the comparisons with their annotations replaced by one majority annotation; a draw becomes a tie."""
        direction = self.direction
        wins, ties, defeats = ((direction == value).astype(float) for value in (1, 0, -1))
        return Comparisons(self.first, self.second, wins, ties, defeats)


def comparisons_in(feedback: Feedback) -> Comparisons | None:
    """Return the comparisons of one feedback type, or `None` for ratings of single texts.

    Args:
        feedback: feedback of one type.

    Returns:
        Comparisons whose sides are score positions.
    """
    if type(feedback).is_convertible_to(Pairs):
        return _from_pairs(feedback)
    if isinstance(feedback, StepwiseRankings):
        last_steps = feedback.steps[feedback.counts.cumsum(0) - 1]
        return _from_pairs(feedback.answer_rankings().reindexed(last_steps))
    if isinstance(feedback, Labels):
        return _from_labels(feedback.item_positions, feedback.labels)
    if isinstance(feedback, Steps):
        return _from_labels(feedback.item_positions, feedback.values)
    return None


def merge_by_text(texts: AnnotatedTexts, comparisons: Comparisons) -> Comparisons:
    """Add the annotations of comparisons between the same two texts, in either order.

    Args:
        texts: texts of the dataset.
        comparisons: comparisons whose sides are score positions.

    Returns:
        Comparisons whose sides are text ids, with `first < second` or `second == LABEL_THRESHOLD`. Comparisons of a
        text with itself are dropped.
    """
    ids = np.append(texts.text, LABEL_THRESHOLD)  # the position LABEL_THRESHOLD is the last entry
    first, second = ids[comparisons.first], ids[comparisons.second]
    swap = (first > second) & (second != LABEL_THRESHOLD)
    sides = np.stack([np.where(swap, second, first), np.where(swap, first, second)])
    wins = np.where(swap, comparisons.defeats, comparisons.wins)
    defeats = np.where(swap, comparisons.wins, comparisons.defeats)
    different = first != second
    distinct, index = np.unique(sides[:, different], axis=1, return_inverse=True)
    totals: list[FloatVector] = [
        np.bincount(index.reshape(-1), weights=counts[different], minlength=distinct.shape[1]).astype(float)
        for counts in (wins, comparisons.ties, defeats)
    ]
    return Comparisons(distinct[0], distinct[1], *totals)


def _from_pairs(feedback: Feedback) -> Comparisons:
    pairs = feedback.convert_to(Pairs)
    assert isinstance(pairs, Pairs)
    annotations = torch.ones(len(pairs))
    if isinstance(feedback, Votes):
        annotations = feedback.votes_first + feedback.votes_second + (0 if feedback.ties is None else feedback.ties)
    wins, ties, defeats = ((share * annotations).numpy().astype(float).round(6) for share in pairs.outcomes())
    return Comparisons(pairs.chosen.numpy(), pairs.rejected.numpy(), wins, ties, defeats)


def _from_labels(positions: torch.Tensor, values: torch.Tensor) -> Comparisons | None:
    if not bool(torch.isin(values, LABEL_VALUES).all()):
        return None
    positive = (values > 0).numpy().astype(float)
    threshold = np.full(len(positive), LABEL_THRESHOLD)
    return Comparisons(positions.numpy(), threshold, positive, np.zeros_like(positive), 1 - positive)
