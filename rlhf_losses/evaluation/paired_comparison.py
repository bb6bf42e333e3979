"""Comparison of two evaluations of the same rows."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.evaluation.intervals import (
    Estimate,
    FloatVector,
    IntVector,
    bootstrap_estimate,
    mean_estimate,
    share_estimate,
)
from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.evaluation.rank_statistics import rank_correlation
from rlhf_losses.evaluation.scored_rows import ScoredRow


@dataclass(frozen=True)
class PairedComparison:
    """Difference of two evaluations on the rows that both have.

    Attributes:
        metric: `accuracy`, or `spearman` for ratings.
        rows: number of rows that both have.
        only_in_one: number of rows that one of them lacks, for example because a text was too long for its model.
        first: the metric of the first evaluation on the common rows.
        second: the metric of the second evaluation on the common rows.
        difference: second minus first, with the interval of the paired difference.
        only_first_right: number of items that only the first one has right; None for ratings.
        only_second_right: number of items that only the second one has right; None for ratings.
        p_value: probability of counts that differ as much or more, if both are equally often right (exact McNemar
            test); it takes items as independent. None for ratings.
    """

    metric: str
    rows: int
    only_in_one: int
    first: Estimate
    second: Estimate
    difference: Estimate
    only_first_right: int | None = None
    only_second_right: int | None = None
    p_value: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        estimates = {name: getattr(self, name).to_dict() for name in ("first", "second", "difference")}
        return {**asdict(self), **estimates}


def compare_evaluations(first: EvaluationFolder, second: EvaluationFolder) -> PairedComparison:
    """Return the difference of two evaluations; rows with equal texts and annotations belong together.

    Args:
        first: the reference.
        second: the other evaluation.

    Raises:
        FeedbackMismatchError: no row is in both, or the rows have neither comparisons nor labels nor ratings.

    References:
        McNemar (1947), Note on the sampling error of the difference between correlated proportions or percentages,
        Psychometrika 12(2).
    """
    pairs = _common_rows(first.rows, second.rows)
    if not pairs:
        raise FeedbackMismatchError(
            f"'{first.path}' and '{second.path}' have no row in common, so they are evaluations of different data. "
            "Evaluate both models on the same dataset."
        )
    only_in_one = len(first.rows) + len(second.rows) - 2 * len(pairs)
    clusters = _clusters([one for one, _ in pairs])
    if any(one.outcomes for one, _ in pairs):
        return _compare_outcomes(pairs, clusters, only_in_one)
    if any(one.labels for one, _ in pairs):
        return _compare_ratings(pairs, clusters, only_in_one)
    raise FeedbackMismatchError(
        f"The rows of '{first.path}' have neither comparisons nor labels nor ratings, so there is nothing to compare. "
        "Evaluate on other feedback."
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact p-value of McNemar's test.

    Args:
        only_first: number of items that only the first one has right.
        only_second: number of items that only the second one has right.

    Examples:
        >>> mcnemar(0, 5)
        0.0625
    """
    from scipy import stats

    total = only_first + only_second
    return float(stats.binomtest(only_first, total).pvalue) if total else 1.0


def _compare_outcomes(
    pairs: Sequence[tuple[ScoredRow, ScoredRow]], clusters: Sequence[int], only_in_one: int
) -> PairedComparison:
    first, second, items = _joined([(one.outcomes, other.outcomes) for one, other in pairs], clusters)
    is_right, other_right = first == 1, second == 1
    only_first, only_second = int((is_right & ~other_right).sum()), int((other_right & ~is_right).sum())
    return PairedComparison(
        "accuracy",
        len(pairs),
        only_in_one,
        share_estimate(first, items),
        share_estimate(second, items),
        mean_estimate(second - first, items),
        only_first,
        only_second,
        mcnemar(only_first, only_second),
    )


def _compare_ratings(
    pairs: Sequence[tuple[ScoredRow, ScoredRow]], clusters: Sequence[int], only_in_one: int
) -> PairedComparison:
    ratings, _, items = _joined([(one.labels, one.labels) for one, _ in pairs], clusters)
    first, second, _ = _joined(
        [([one.scores[i] for i in one.labelled], [other.scores[i] for i in one.labelled]) for one, other in pairs],
        clusters,
    )

    def correlation(scores: FloatVector, chosen: IntVector) -> float:
        return rank_correlation(scores[chosen], ratings[chosen], chosen).value

    return PairedComparison(
        "spearman",
        len(pairs),
        only_in_one,
        rank_correlation(first, ratings, items),
        rank_correlation(second, ratings, items),
        bootstrap_estimate(lambda chosen: correlation(second, chosen) - correlation(first, chosen), items),
    )


def _joined(
    values: Sequence[tuple[Sequence[float], Sequence[float]]], clusters: Sequence[int]
) -> tuple[FloatVector, FloatVector, IntVector]:
    """Return two values of each item and its cluster, from those of each row."""
    counts = [len(one) for one, _ in values]
    first, second = (np.array([number for pair in values for number in pair[side]], dtype=float) for side in (0, 1))
    return first, second, np.repeat(np.array(clusters), counts)


def _common_rows(first: Sequence[ScoredRow], second: Sequence[ScoredRow]) -> list[tuple[ScoredRow, ScoredRow]]:
    """Return the rows with equal keys; equal rows belong together in their order."""
    one, other = (_by_key(rows) for rows in (first, second))
    return [(row, other[key]) for key, row in one.items() if key in other]


def _by_key(rows: Sequence[ScoredRow]) -> dict[tuple[str, int, int], ScoredRow]:
    """Return each row by its key, its number of outcomes, and the number of equal rows before it."""
    seen: Counter[tuple[str, int]] = Counter()
    found = {}
    for row in rows:
        key = (row.key, len(row.outcomes))
        found[*key, seen[key]] = row
        seen[key] += 1
    return found


def _clusters(rows: Sequence[ScoredRow]) -> list[int]:
    """Return the cluster of each row: rows with the same prompt, or the row itself if it has none."""
    ids: dict[str, int] = {}
    prompts = [json.dumps(row.prompt) if row.prompt else f"row {index}" for index, row in enumerate(rows)]
    return [ids.setdefault(prompt, len(ids)) for prompt in prompts]
