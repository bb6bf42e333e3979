"""PRMBench: solutions into which errors of nine categories were written."""

import math
from collections.abc import Sequence

import numpy as np

from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.evaluation.suites.base import Suite, SuiteResult, SuiteScore, column, groups

CATEGORIES = {
    "simplicity": ("redundency", "circular"),
    "soundness": ("counterfactual", "step_contradiction", "domain_inconsistency", "confidence"),
    "sensitivity": ("missing_condition", "deception", "multi_solutions"),
}
"""Classes of errors in each category, with the names in the files."""

ALL_RIGHT = "multi_solutions"
"""The class of solutions without errors."""


class PrmBenchSuite(Suite):
    """PRMBench: PRMScore, the mean of the F1 of right and of wrong steps, by class and category.

    A step is predicted to be right if its score is positive. All steps of a class count together, and for the overall
    score all steps of all classes. The class `multi_solutions` has no wrong steps, so its score is the F1 of right
    steps. The score of a category is the mean over its classes. Rows with a class and an `idx` that an earlier row has
    are left out. The score for redundancy, which few models have, is not used: such steps count as wrong.
    """

    name = "prmbench"
    paper = "https://arxiv.org/abs/2501.03124"
    source = "https://github.com/ssmisya/PRMBench/blob/main/mr_eval/tasks/prmtest_classified/task.py"
    dataset = "hitsmy/PRMBench_Preview"
    converters = ("prm_bench",)
    columns = ("classification", "idx")

    def aggregate(self, rows: Sequence[ScoredRow]) -> SuiteResult:
        distinct = [of_row[0] for of_row in groups(rows, _identity).values()]
        by_class = groups(distinct, lambda row: column(row, "classification"))
        classes = {name: prm_score(of_class, name == ALL_RIGHT) for name, of_class in by_class.items()}
        scores = []
        for category, names in CATEGORIES.items():
            if all(name in classes for name in names):
                count = sum(len(by_class[name]) for name in names)
                scores.append(SuiteScore(category, float(np.mean([classes[name] for name in names])), count))
        scores += [SuiteScore(name, value, len(by_class[name])) for name, value in classes.items()]
        missing = tuple(name for names in CATEGORIES.values() for name in names if name not in classes)
        overall = math.nan if missing else prm_score(distinct, False)
        return SuiteResult(self.name, overall, tuple(scores), missing)


def prm_score(rows: Sequence[ScoredRow], only_right: bool) -> float:
    """Return the mean of the F1 of right and of wrong steps, or the F1 of right steps alone.

    Args:
        rows: solutions; the labels of their steps are 1 or −1.
        only_right: whether the solutions have no wrong steps.
    """
    labels = np.array([label for row in rows for label in row.labels]) > 0
    predicted = np.array([row.scores[index] for row in rows for index in row.labelled]) > 0
    of_right = _f1(predicted, labels)
    return of_right if only_right else (of_right + _f1(~predicted, ~labels)) / 2


def _f1(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Return the F1 of one class, 0 if it is neither predicted nor labelled."""
    total = int(predicted.sum() + labels.sum())
    return 2 * int((predicted & labels).sum()) / total if total else 0.0


def _identity(row: ScoredRow) -> tuple[str, str]:
    return str(column(row, "classification")), str(row.columns.get("idx", row.row))
