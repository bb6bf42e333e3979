"""JudgeBench: pairs with one objectively right response, in both orders."""

from collections.abc import Sequence

import numpy as np

from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.evaluation.suites.base import PART, Suite, SuiteResult, SuiteScore, column, groups, is_right, mean_of

CATEGORIES = {
    "knowledge": "mmlu-pro",
    "reasoning": "livebench-reasoning",
    "math": "livebench-math",
    "coding": "livecodebench",
}
"""Beginning of the source of each category."""


class JudgeBenchSuite(Suite):
    """JudgeBench: share of the pairs that are judged right in both orders, by category.

    A pair that is judged right in one order and wrong in the other is a tie, which counts as wrong. The overall
    accuracy is that of all pairs together.
    """

    name = "judgebench"
    paper = "https://arxiv.org/abs/2410.12784"
    source = "https://github.com/ScalerLab/JudgeBench/blob/main/utils/metrics.py"
    dataset = "ScalerLab/JudgeBench"
    split = "gpt"
    converters = ("judge_bench",)
    both_orders = True

    def aggregate(self, rows: Sequence[ScoredRow]) -> SuiteResult:
        pairs = groups(rows, lambda row: (row.columns.get(PART), row.row))
        right = {key: all(map(is_right, orders)) for key, orders in pairs.items()}
        sources = {key: str(column(orders[0], "source")) for key, orders in pairs.items()}
        scores = {}
        for name, start in CATEGORIES.items():
            found = [right[key] for key, source in sources.items() if source.startswith(start)]
            if found:
                scores[name] = SuiteScore(name, float(np.mean(found)), len(found))
        missing = tuple(name for name in CATEGORIES if name not in scores)
        overall = mean_of({}, CATEGORIES) if missing else float(np.mean(list(right.values())))
        return SuiteResult(self.name, overall, tuple(scores.values()), missing)
