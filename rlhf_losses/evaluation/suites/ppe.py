"""Preference Proxy Evaluations (PPE): human preferences, and correctness with the best of k."""

import math
from collections.abc import Sequence

import numpy as np

from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.evaluation.suites.base import PART, Suite, SuiteResult, SuiteScore, groups, named_in

CORRECTNESS = {
    "mmlu_pro": "mmlu",
    "math": "math",
    "gpqa": "gpqa",
    "ifeval": "ifeval",
    "mbpp_plus": "mbpp",
}
"""Benchmarks of correctness, and what the name of their file contains."""

PREFERENCE = "human_preference"

PAIRS = "sampled_conflict_pairs"
"""Column of a best-of-k file with the pairs of a right and a wrong response that the accuracy is computed from."""


class PpeSuite(Suite):
    """PPE: accuracy on human preferences without ties, and on pairs of right and wrong responses by benchmark.

    The accuracy of a benchmark of correctness is over the pairs in the column `sampled_conflict_pairs`, or over all
    pairs of a right and a wrong response if the file does not have it. `best_of_k` is the share of prompts whose
    response with the highest score is right, among prompts with right and wrong responses. `correctness` is the mean
    over the five benchmarks. The authors report no number for the whole suite.
    """

    name = "ppe"
    paper = "https://arxiv.org/abs/2410.14872"
    source = "https://github.com/lmarena/PPE"
    dataset = "lmarena-ai/PPE-Human-Preference-V1"
    converters = ("ppe_preference", "ppe_best_of_k")
    columns = (PAIRS,)

    def aggregate(self, rows: Sequence[ScoredRow]) -> SuiteResult:
        values, best, scores = {}, {}, []
        for name, of_benchmark in groups(rows, _benchmark).items():
            pairs = [outcome for row in of_benchmark for outcome in used_outcomes(row)]
            values[name] = float(np.mean(pairs)) if pairs else math.nan
            scores.append(SuiteScore(name, values[name], len(of_benchmark)))
            if name != PREFERENCE:
                best[name] = float(np.mean([best_is_right(row) for row in of_benchmark]))
                scores.append(SuiteScore(f"{name} best_of_k", best[name], len(of_benchmark)))
        missing = tuple(name for name in (PREFERENCE, *CORRECTNESS) if name not in values)
        if set(CORRECTNESS) <= values.keys():
            count = sum(len(one) for name, one in groups(rows, _benchmark).items() if name in CORRECTNESS)
            correctness = float(np.mean([values[name] for name in CORRECTNESS]))
            scores.append(SuiteScore("correctness", correctness, count))
            scores.append(
                SuiteScore("correctness best_of_k", float(np.mean([best[name] for name in CORRECTNESS])), count)
            )
        return SuiteResult(self.name, math.nan, tuple(scores), missing)


def used_outcomes(row: ScoredRow) -> list[bool]:
    """Return whether the better answer has the strictly higher score, for the pairs of a row that count.

    Args:
        row: a scored row.
    """
    sampled = row.columns.get(PAIRS)
    chosen = None if sampled is None else {frozenset(map(int, pair)) for pair in sampled}
    pairs = zip(row.better, row.worse, row.outcomes, strict=True)
    return [outcome == 1 for better, worse, outcome in pairs if chosen is None or frozenset((better, worse)) in chosen]


def best_is_right(row: ScoredRow) -> bool:
    """Return whether the first answer with the highest score is better than another one.

    Args:
        row: a row with right and wrong answers.
    """
    return row.scores.index(max(row.scores)) in row.better


def _benchmark(row: ScoredRow) -> str:
    part = str(row.columns.get(PART))
    if len(row.scores) == 2 and not row.columns.get(PAIRS):
        return PREFERENCE
    return named_in(part, CORRECTNESS) or part
