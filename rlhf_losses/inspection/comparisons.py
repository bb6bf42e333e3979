"""Comparisons of texts: feedback as counts of annotations for and against a text."""

from dataclasses import dataclass, fields

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
        annotator: id of the annotator of each comparison, negative if unknown; None after merging.
    """

    first: IntVector
    second: IntVector
    wins: FloatVector
    ties: FloatVector
    defeats: FloatVector
    annotator: IntVector | None = None

    def __len__(self) -> int:
        return len(self.first)

    @property
    def annotations(self) -> FloatVector:
        """Number of annotations of each comparison."""
        return self.wins + self.ties + self.defeats

    @property
    def decided(self) -> list[FloatVector]:
        """Number of annotations of each comparison that prefer the first side, and that prefer the second."""
        return [self.wins, self.defeats]

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
        return Comparisons(self.first, self.second, wins, ties, defeats, self.annotator)

    @property
    def has_annotators(self) -> bool:
        """Whether the annotators of all comparisons are known."""
        return self.annotator is not None and bool((self.annotator >= 0).all())

    @property
    def has_unknown_repetitions(self) -> bool:
        """Whether several rows compare the same two sides, and the annotator of one of them is unknown."""
        if self.annotator is None:
            return False
        rows = np.unique(np.stack([self.first, self.second, self.annotator]), axis=1)
        _, item, count = np.unique(rows[:2], axis=1, return_inverse=True, return_counts=True)
        return bool(((count[item.reshape(-1)] > 1) & (rows[2] < 0)).any())

    def merged(self) -> "Comparisons":
        """Return one comparison for each two sides, with the annotations of all comparisons between them."""
        return _merge(np.stack([self.first, self.second]), self)

    def merged_annotators(self) -> "Comparisons":
        """Return one comparison for each two sides, with the annotations of all known annotators.

        The comparisons of an unknown annotator, who can be one of the others, remain separate; equal ones count once.
        """
        if self.annotator is None:
            return self.merged()
        sides = np.stack([self.first, self.second])
        annotated = [*sides, self.wins, self.ties, self.defeats, np.maximum(self.annotator, -1)]
        kept = np.unique(np.stack(annotated), axis=1, return_index=True)[1]
        return _merge(np.stack([*sides, np.minimum(self.annotator, 0)])[:, kept], self.select(kept))

    def one_per_annotator(self) -> "Comparisons":
        """Return the comparisons with one annotation for each annotator and two sides: the majority, or a tie.

        Counts of several annotations, and fractions, are unchanged if the annotator is unknown.
        """
        if self.annotator is None:
            return self
        is_single = (np.stack([self.wins, self.ties, self.defeats]) == 1).sum(0) == 1
        by_one = (self.annotator >= 0) | (is_single & (self.annotations == 1))
        keys = np.stack([self.first, self.second, self.annotator])
        return _concatenate(_merge(keys[:, by_one], self.select(by_one)).majority(), self.select(~by_one))

    def select(self, mask: BoolVector | IntVector) -> "Comparisons":
        """Return the comparisons for which a mask is true, or those at some indices."""
        annotator = None if self.annotator is None else self.annotator[mask]
        return Comparisons(
            self.first[mask], self.second[mask], self.wins[mask], self.ties[mask], self.defeats[mask], annotator
        )


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


def compare_texts(texts: AnnotatedTexts, comparisons: Comparisons) -> Comparisons:
    """Return the same comparisons with the ids of the texts as sides, and with their annotators.

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
    oriented = Comparisons(
        first=np.where(swap, second, first),
        second=np.where(swap, first, second),
        wins=np.where(swap, comparisons.defeats, comparisons.wins),
        ties=comparisons.ties,
        defeats=np.where(swap, comparisons.wins, comparisons.defeats),
        annotator=texts.annotator[texts.row[comparisons.first]],
    )
    return oriented.select(first != second)


def between_equal_texts(texts: AnnotatedTexts, comparisons: Comparisons) -> Comparisons:
    """Return the comparisons of a text with itself, which `compare_texts` drops.

    Args:
        texts: texts of the dataset.
        comparisons: comparisons whose sides are score positions.
    """
    ids = np.append(texts.text, LABEL_THRESHOLD)  # the position LABEL_THRESHOLD is the last entry
    return comparisons.select(ids[comparisons.first] == ids[comparisons.second])


def _merge(keys: IntVector, comparisons: Comparisons) -> Comparisons:
    """Return one comparison for each distinct column of keys: two sides, and the annotator if there is a third row."""
    distinct, index = np.unique(keys, axis=1, return_inverse=True)
    wins, ties, defeats = (
        np.bincount(index.reshape(-1), weights=counts, minlength=distinct.shape[1]).astype(float)
        for counts in (comparisons.wins, comparisons.ties, comparisons.defeats)
    )
    return Comparisons(distinct[0], distinct[1], wins, ties, defeats, distinct[2] if len(distinct) > 2 else None)


def _concatenate(first: Comparisons, second: Comparisons) -> Comparisons:
    names = [f.name for f in fields(Comparisons)]
    return Comparisons(**{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names})


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
