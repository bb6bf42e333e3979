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
from rlhf_losses.evaluation.items import better_and_worse, rated_lists
from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.evaluation.rank_statistics import rank_correlation
from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.feedback import Pairs


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
        differing: number of items with different outcomes, or of ratings with different scores.
        p_value: probability of counts that differ as much or more, if both are equally often right (exact McNemar
            test); it takes items as independent. None for ratings.
    """

    metric: str
    rows: int
    only_in_one: int
    first: Estimate
    second: Estimate
    difference: Estimate
    differing: int
    only_first_right: int | None = None
    only_second_right: int | None = None
    p_value: float | None = None

    @property
    def note_on_equality(self) -> str:
        """Why the difference has no interval: each item has the same result in both; empty if one differs."""
        if self.differing:
            return ""
        return "all scores are equal" if self.metric == "spearman" else "all outcomes are equal"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        estimates = {name: getattr(self, name).to_dict() for name in ("first", "second", "difference")}
        return {**asdict(self), **estimates}


def compare_evaluations(first: EvaluationFolder, second: EvaluationFolder) -> list[PairedComparison]:
    """Return the differences of two evaluations; rows with equal texts and annotations belong together.

    Args:
        first: the reference.
        second: the other evaluation.

    Returns:
        The difference of the accuracies of comparisons or labels, and that of the rank correlations with ratings.

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
    rows = _CommonRows(pairs, only_in_one, np.array(_clusters([one for one, _ in pairs])))
    found = [one for one in (_compare_outcomes(rows), _compare_ratings(rows)) if one is not None]
    if not found:
        raise FeedbackMismatchError(
            f"The rows of '{first.path}' have neither comparisons nor labels nor ratings, so there is nothing to "
            "compare. Evaluate on other feedback."
        )
    return found


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


@dataclass(frozen=True)
class _CommonRows:
    """Rows that two evaluations have, with the number of the others and the cluster of each row."""

    pairs: Sequence[tuple[ScoredRow, ScoredRow]]
    only_in_one: int
    clusters: IntVector


def _compare_outcomes(rows: _CommonRows) -> PairedComparison | None:
    first, second, items = _outcomes(rows)
    if not len(first):
        return None
    is_right, other_right = first == 1, second == 1
    only_first, only_second = int((is_right & ~other_right).sum()), int((other_right & ~is_right).sum())
    return PairedComparison(
        "accuracy",
        len(rows.pairs),
        rows.only_in_one,
        share_estimate(first, items),
        share_estimate(second, items),
        mean_estimate(second - first, items),
        int((first != second).sum()),
        only_first,
        only_second,
        mcnemar(only_first, only_second),
    )


def _outcomes(rows: _CommonRows) -> tuple[FloatVector, FloatVector, IntVector]:
    """Return both outcomes of each comparison or label, and its cluster; rated answers are compared over rows."""
    if any(one.outcomes for one, _ in rows.pairs) or any(len(one.labelled) > 1 for one, _ in rows.pairs):
        return _joined([(one.outcomes, other.outcomes) for one, other in rows.pairs], rows.clusters)
    rated = [(one, other, cluster) for (one, other), cluster in zip(rows.pairs, rows.clusters, strict=True)
             if one.labelled]  # fmt: skip
    clusters = np.array([cluster for _, _, cluster in rated], dtype=int)
    ratings = np.array([one.labels[0] for one, _, _ in rated], dtype=float)
    pairs = rated_lists(_answers([one for one, _, _ in rated]), ratings, clusters).convert_to(Pairs)
    better, worse, preference = (part.numpy() for part in better_and_worse(pairs))
    better, worse = better[preference != 0.5], worse[preference != 0.5]
    scores = np.array([(one.scores[one.labelled[0]], other.scores[one.labelled[0]]) for one, other, _ in rated])
    first, second = (1 + np.sign(scores[better] - scores[worse])).T / 2 if len(better) else (scores[:0, 0],) * 2
    return first, second, clusters[better]


def _answers(rows: Sequence[ScoredRow]) -> IntVector:
    """Return an id of the rated answer of each row; token ids are answers of their own."""
    texts = [json.dumps([row.prompt, row.answers[row.labelled[0]]]) for row in rows]
    known = [row.answers[row.labelled[0]] is not None for row in rows]
    ids: dict[str, int] = {}
    return np.array(
        [
            ids.setdefault(text if is_known else f"row {index}", len(ids))
            for index, (text, is_known) in enumerate(zip(texts, known, strict=True))
        ],
        dtype=int,
    )


def _compare_ratings(rows: _CommonRows) -> PairedComparison | None:
    rated = [one.labelled if len(one.outcomes) <= len(one.better) else () for one, _ in rows.pairs]  # others: labels
    if not any(rated):
        return None
    ratings, _, items = _joined(
        [(one.labels, one.labels) if of else ((), ()) for (one, _), of in zip(rows.pairs, rated, strict=True)],
        rows.clusters,
    )
    first, second, _ = _joined(
        [
            ([one.scores[i] for i in of], [other.scores[i] for i in of])
            for (one, other), of in zip(rows.pairs, rated, strict=True)
        ],
        rows.clusters,
    )

    def correlation(scores: FloatVector, chosen: IntVector) -> float:
        return rank_correlation(scores[chosen], ratings[chosen], chosen).value

    return PairedComparison(
        "spearman",
        len(rows.pairs),
        rows.only_in_one,
        rank_correlation(first, ratings, items),
        rank_correlation(second, ratings, items),
        bootstrap_estimate(lambda chosen: correlation(second, chosen) - correlation(first, chosen), items),
        int((first != second).sum()),
    )


def _joined(
    values: Sequence[tuple[Sequence[float], Sequence[float]]], clusters: IntVector
) -> tuple[FloatVector, FloatVector, IntVector]:
    """Return two values of each item and its cluster, from those of each row."""
    counts = [len(one) for one, _ in values]
    first, second = (np.array([number for pair in values for number in pair[side]], dtype=float) for side in (0, 1))
    return first, second, np.repeat(clusters, counts)


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
