"""Length dependence: how much scores follow the length of the answer, and what this costs in accuracy."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rlhf_losses.evaluation.intervals import Estimate, share_estimate
from rlhf_losses.evaluation.items import ComparedPairs, Items, LabelledItems, RatedItems
from rlhf_losses.evaluation.rank_statistics import partial_correlation, pearson
from rlhf_losses.evaluation.scored_data import ScoredData
from rlhf_losses.messages.percentages import percent

STRONG_CORRELATION = 0.4
"""Partial correlation of scores and lengths from which there is a warning."""

LARGE_GAP = 0.2
"""Difference of the two accuracies from which there is a warning."""


REMEDY = (
    "To reduce it, train with '+ 1.0 * length_decorrelation' and at least 64 answers in an optimizer step, or on data "
    "without this preference."
)
"""What reduces a length bias."""


@dataclass(frozen=True)
class LengthDependence:
    """Dependence of scores on the length of the answer in tokens.

    Attributes:
        correlation: correlation of scores and lengths; of pairs, of the differences of both within a pair.
        partial_correlation: the same without the part that the annotations explain. If the annotators prefer longer
            answers, a good model does so too; a model with a length bias does so more than they.
        longer_is_better: of pairs, share in which the longer answer is the better one: the accuracy of a model that
            prefers the longer answer.
        accuracy_longer_better: accuracy where the longer answer is the better one.
        accuracy_shorter_better: accuracy where the shorter answer is the better one.
    """

    correlation: Estimate
    partial_correlation: Estimate
    longer_is_better: Estimate | None = None
    accuracy_longer_better: Estimate | None = None
    accuracy_shorter_better: Estimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        estimates = {name: getattr(self, name) for name in asdict(self)}
        return {name: None if one is None else one.to_dict() for name, one in estimates.items()}

    @property
    def warning(self) -> str | None:
        """A sentence about the length bias, or None if there is none or it can be chance."""
        correlation = self.partial_correlation
        if abs(correlation.value) >= STRONG_CORRELATION and correlation.low * correlation.high > 0:
            longer = "longer" if correlation.value > 0 else "shorter"
            return (
                f"Length bias: {longer} answers have higher scores than the annotations explain (partial correlation "
                f"{correlation.value:z.2f}, 95 % interval {correlation.low:z.2f} to {correlation.high:z.2f}). {REMEDY}"
            )
        right, wrong = self.accuracy_longer_better, self.accuracy_shorter_better
        if right is None or wrong is None or not right.count or not wrong.count:
            return None
        apart = right.low > wrong.high or wrong.low > right.high
        if apart and abs(right.value - wrong.value) >= LARGE_GAP:
            return (
                f"Length bias: the accuracy is {percent(right.value)} where the longer answer is better, and "
                f"{percent(wrong.value)} where the shorter one is. {REMEDY}"
            )
        return None


def length_dependence(data: ScoredData, items: Items) -> LengthDependence | None:
    """Return the length dependence of items of one kind, or None if there are fewer than two.

    For pairs, both vectors are differences between the better and the worse answer, and their correlation about the
    means is the partial one: exchanging better and worse changes the sign of both differences and of the annotation.

    Args:
        data: the scored dataset.
        items: items of one kind.
    """
    if len(items) < 2:
        return None
    if isinstance(items, ComparedPairs):
        return _of_pairs(data, items)
    lengths = data.answer_tokens[items.position].astype(float)
    if isinstance(items, LabelledItems):
        scores, given = items.labelled[:, 0], items.labelled[:, 1]
    elif isinstance(items, RatedItems):
        scores, given = items.score, items.rating
    else:
        return None
    return LengthDependence(
        pearson(scores, lengths, items.cluster), partial_correlation(scores, lengths, given, items.cluster)
    )


def _of_pairs(data: ScoredData, pairs: ComparedPairs) -> LengthDependence:
    longer = (data.answer_tokens[pairs.better] - data.answer_tokens[pairs.worse]).astype(float)
    both_orders = np.concatenate([np.ones(len(pairs)), -np.ones(len(pairs))])
    differences, lengths = (np.concatenate([one, -one]) for one in (pairs.difference, longer))
    clusters = np.concatenate([pairs.cluster, pairs.cluster])
    different, is_longer = longer != 0, longer > 0
    accuracy = {
        name: share_estimate(pairs.outcome[mask], pairs.cluster[mask])
        for name, mask in (("longer", is_longer), ("shorter", longer < 0))
    }
    return LengthDependence(
        replace(pearson(differences, lengths, clusters), count=len(pairs)),
        replace(partial_correlation(differences, lengths, both_orders, clusters), count=len(pairs)),
        share_estimate(is_longer[different].astype(float), pairs.cluster[different]),
        accuracy["longer"],
        accuracy["shorter"],
    )
