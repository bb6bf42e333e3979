"""Agreement of the annotators of the evaluated comparisons, and the accuracy that it allows."""

from dataclasses import dataclass

import numpy as np

from rlhf_losses.evaluation.intervals import FloatVector
from rlhf_losses.evaluation.items import ComparedPairs, Items, LabelledItems
from rlhf_losses.evaluation.scored_data import ScoredData
from rlhf_losses.inspection.agreement_ceiling import agreement_ceiling
from rlhf_losses.inspection.comparisons import LABEL_THRESHOLD, Comparisons, between_equal_texts, compare_texts


@dataclass(frozen=True)
class AccuracyCeiling:
    """The largest accuracy that one score per text can have, and the annotations that it rests on.

    Attributes:
        share: the accuracy, from 0 to 1. Items that were annotated once can be right, so it is an upper bound of the
            agreement of a perfect model with further annotations.
        is_exact: whether the share is exact for these annotations, see `AgreementCeiling`.
        repeated: number of different comparisons (or labelled texts) with several annotations that are no ties.
        different: number of different comparisons, or labelled texts.
    """

    share: float
    is_exact: bool
    repeated: int
    different: int


def ceiling_note(kind: str, repeated: int, different: int) -> str:
    """Return what an accuracy ceiling rests on.

    Args:
        kind: kind of the items.
        repeated: number of different items that were annotated several times.
        different: number of different items.

    Examples:
        >>> print(ceiling_note("comparisons", 9, 45))
        The accuracy ceiling is an upper bound: 9 of 45 different comparisons were annotated several times (ties left \
out), and those annotated once count as attainable.
    """
    of = f"{repeated} of {different} different {kind} were annotated several times (ties left out)"
    if repeated == different:
        return f"The accuracy ceiling: {of}."
    return f"The accuracy ceiling is an upper bound: {of}, and those annotated once count as attainable."


def agreement_of_pairs(data: ScoredData, pairs: ComparedPairs) -> FloatVector:
    """Return, for each pair, the share of the annotations of its two texts that are in the majority.

    A pair that several rows contain has the annotations of all of them. A probability counts as shares of annotations.

    Args:
        data: the scored dataset.
        pairs: its comparisons.
    """
    texts = np.sort(np.stack([data.texts.text[pairs.better], data.texts.text[pairs.worse]]), axis=0)
    is_first = data.texts.text[pairs.better] == texts[0]
    _, index = np.unique(texts, axis=1, return_inverse=True)
    for_first = np.where(is_first, pairs.preference, 1 - pairs.preference)
    share = np.bincount(index.reshape(-1), weights=for_first) / np.bincount(index.reshape(-1))
    agreement: FloatVector = np.maximum(share, 1 - share)[index.reshape(-1)].round(6)
    return agreement


def accuracy_ceiling(data: ScoredData, items: Items) -> AccuracyCeiling | None:
    """Return the largest accuracy that one score per text can have, or None for ratings.

    It is below 1 if rows contradict each other, and if the two answers of a pair are equal: their scores are equal, and
    count 0.5. If no texts are annotated twice, rows can contradict each other only in a cycle (A over B, B over C, C
    over A); without one, and without equal answers, the ceiling says nothing and is None.

    Args:
        data: the scored dataset.
        items: comparisons or labels.
    """
    if isinstance(items, ComparedPairs):
        sides = items.better, items.worse
        wins = np.ones(len(items))
    elif isinstance(items, LabelledItems):
        sides = items.position, np.full(len(items), LABEL_THRESHOLD)
        wins = (items.labelled[:, 1] > 0).astype(float)
    else:
        return None
    comparisons = Comparisons(*sides, wins, np.zeros(len(items)), 1 - wins)
    merged = compare_texts(data.texts, comparisons).merged()
    found = agreement_ceiling(merged, equal=len(between_equal_texts(data.texts, comparisons)))
    if found is None or (found.share == 1 and len(merged) == len(comparisons)):
        return None
    return AccuracyCeiling(found.share, found.is_exact, int((merged.annotations > 1).sum()), len(merged))
