"""Agreement of the annotators of the evaluated comparisons, and the accuracy that it allows."""

import numpy as np

from rlhf_losses.evaluation.intervals import FloatVector
from rlhf_losses.evaluation.items import ComparedPairs, Items, LabelledItems
from rlhf_losses.evaluation.scored_data import ScoredData
from rlhf_losses.inspection.agreement_ceiling import AgreementCeiling, agreement_ceiling
from rlhf_losses.inspection.comparisons import LABEL_THRESHOLD, Comparisons, between_equal_texts, compare_texts


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


def accuracy_ceiling(data: ScoredData, items: Items) -> AgreementCeiling | None:
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
    is_trivial = found is not None and found.share == 1 and len(merged) == len(comparisons)
    return None if is_trivial else found
