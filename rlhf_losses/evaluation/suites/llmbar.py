"""LLMBar: instruction following, with adversarial subsets."""

import math
from collections.abc import Sequence

import numpy as np

from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.evaluation.suites.base import PART, Suite, SuiteResult, SuiteScore, groups, is_right, mean_of, named_in

ADVERSARIAL = ("Neighbor", "GPTInst", "GPTOut", "Manual")

SUBSETS = ("Natural", *ADVERSARIAL)


class LlmBarSuite(Suite):
    """LLMBar: mean accuracy of both orders by subset, and the share of pairs with the same judgement in both.

    The adversarial accuracy is the mean of the four adversarial subsets. There is no number for the whole suite. The
    subset is the column `subset`, or the name of the folder of `dataset.json`.
    """

    name = "llmbar"
    paper = "https://arxiv.org/abs/2310.07641"
    source = "https://github.com/princeton-nlp/LLMBar/blob/main/LLMEvaluator/evaluate.py"
    dataset = "princeton-nlp/LLMBar"
    converters = ("llm_bar", "native")
    columns = ("subset",)
    both_orders = True

    def aggregate(self, rows: Sequence[ScoredRow]) -> SuiteResult:
        by_subset = groups(rows, _subset)
        values = {name: float(np.mean([is_right(row) for row in of_subset])) for name, of_subset in by_subset.items()}
        pairs = groups(rows, lambda row: (row.columns.get(PART), row.row))
        agree = float(np.mean([len({is_right(row) for row in orders}) == 1 for orders in pairs.values()]))
        scores = [SuiteScore(name, value, len(by_subset[name]) // 2) for name, value in values.items()]
        if all(name in values for name in ADVERSARIAL):
            count = sum(len(by_subset[name]) // 2 for name in ADVERSARIAL)
            scores.append(SuiteScore("adversarial", mean_of(values, ADVERSARIAL), count))
        scores.append(SuiteScore("same_in_both_orders", agree, len(pairs)))
        missing = tuple(name for name in SUBSETS if name not in values)
        return SuiteResult(self.name, math.nan, tuple(scores), missing)


def _subset(row: ScoredRow) -> str:
    """Return the name of the subset, from the column `subset` or the path of the file."""
    name = str(row.columns.get("subset") or row.columns.get(PART))
    return named_in(name, {known: known for known in SUBSETS}) or name
