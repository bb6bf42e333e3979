"""ProcessBench: the first wrong step of solutions of mathematical problems."""

from collections.abc import Sequence

import numpy as np

from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.evaluation.suites.base import PART, Suite, SuiteResult, SuiteScore, groups, mean_of

SUBSETS = ("gsm8k", "math", "olympiadbench", "omnimath")

NO_ERROR = -1


class ProcessBenchSuite(Suite):
    """ProcessBench: harmonic mean of two accuracies by subset, and the mean over subsets.

    The first accuracy is the share of the wrong solutions whose first step with a negative score is the first wrong
    step; the second one is the share of the right solutions without a negative score. The subset is the beginning of
    the column `id`.
    """

    name = "processbench"
    paper = "https://arxiv.org/abs/2412.06559"
    source = "https://github.com/QwenLM/ProcessBench/blob/main/code/run_eval_prm_rlhflow.py"
    dataset = "Qwen/ProcessBench"
    converters = ("process_bench", "native")
    columns = ("id",)

    def aggregate(self, rows: Sequence[ScoredRow]) -> SuiteResult:
        by_subset = groups(rows, _subset)
        scores, values = [], {}
        for name, of_subset in by_subset.items():
            error, correct, values[name] = match_accuracies(of_subset)
            wrong = sum(first_negative(row.labels) != NO_ERROR for row in of_subset)
            scores += [
                SuiteScore(name, values[name], len(of_subset)),
                SuiteScore(f"{name} error", error, wrong),
                SuiteScore(f"{name} correct", correct, len(of_subset) - wrong),
            ]
        missing = tuple(name for name in SUBSETS if name not in values)
        return SuiteResult(self.name, mean_of(values, SUBSETS), tuple(scores), missing)


def match_accuracies(rows: Sequence[ScoredRow]) -> tuple[float, float, float]:
    """Return the accuracies of wrong and of right solutions, and their harmonic mean.

    Args:
        rows: solutions; the labels of their steps are 1 or −1.
    """
    matches: dict[bool, list[bool]] = {True: [], False: []}
    for row in rows:
        first = first_negative(row.labels)
        matches[first == NO_ERROR].append(first_negative([row.scores[index] for index in row.labelled]) == first)
    error, correct = (float(np.mean(matches[is_right])) if matches[is_right] else 0.0 for is_right in (False, True))
    return error, correct, 2 * error * correct / (error + correct) if error + correct else 0.0


def first_negative(numbers: Sequence[float]) -> int:
    """Return the index of the first negative number, or −1.

    Examples:
        >>> first_negative([1.0, -0.5, -1.0]), first_negative([0.0, 2.0])
        (1, -1)
    """
    return next((index for index, number in enumerate(numbers) if number < 0), NO_ERROR)


def _subset(row: ScoredRow) -> str:
    identifier = row.columns.get("id")
    return str(row.columns.get(PART) if identifier is None else str(identifier).rpartition("-")[0])
