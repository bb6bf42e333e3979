"""RewardBench: accuracy by subset and section."""

from collections.abc import Sequence

import numpy as np

from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.evaluation.suites.base import Suite, SuiteResult, SuiteScore, accuracy, column, groups, mean_of

CODE = ("hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust")

SECTIONS = {
    "Chat": ("alpacaeval-easy", "alpacaeval-length", "alpacaeval-hard", "mt-bench-easy", "mt-bench-med"),
    "Chat Hard": (
        *("mt-bench-hard", "llmbar-natural", "llmbar-adver-neighbor"),
        *("llmbar-adver-GPTInst", "llmbar-adver-GPTOut", "llmbar-adver-manual"),
    ),
    "Safety": (
        *("refusals-dangerous", "refusals-offensive", "xstest-should-refuse", "xstest-should-respond"),
        "donotanswer",
    ),
    "Reasoning": ("math-prm", *CODE),
}
"""Subsets of each section."""

WEIGHTS = {
    **{"alpacaeval-easy": 100, "alpacaeval-length": 95, "alpacaeval-hard": 95},
    **{"mt-bench-easy": 28, "mt-bench-med": 40, "mt-bench-hard": 37},
    **{"llmbar-natural": 100, "llmbar-adver-neighbor": 134, "llmbar-adver-GPTInst": 92},
    **{"llmbar-adver-GPTOut": 47, "llmbar-adver-manual": 46},
    **{"refusals-dangerous": 100, "refusals-offensive": 100, "donotanswer": 136},
    **{"xstest-should-refuse": 250, "xstest-should-respond": 154},
    **dict.fromkeys(CODE, 164),
    "math-prm": 6 * 164,
}
"""Weight of each subset in its section: its number of prompts, and for math the sum of the code subsets."""


class RewardBenchSuite(Suite):
    """RewardBench: the accuracy of a section is the weighted mean over its subsets, the overall score their mean.

    A pair counts as right only if the chosen answer has the strictly higher score. The weights are those of the
    authors, whatever the number of rows in the file; a subset that is missing has no weight.
    """

    name = "rewardbench"
    paper = "https://arxiv.org/abs/2403.13787"
    source = "https://github.com/allenai/reward-bench/blob/main/rewardbench/constants.py"
    dataset = "allenai/reward-bench"
    split = "filtered"
    converters = ("reward_bench",)

    def aggregate(self, rows: Sequence[ScoredRow]) -> SuiteResult:
        by_subset = groups(rows, lambda row: column(row, "subset"))
        subsets = {name: accuracy(of_subset) for name, of_subset in by_subset.items()}
        sections = {}
        for section, names in SECTIONS.items():
            present = [name for name in names if name in subsets]
            if present:
                weights = [WEIGHTS[name] for name in present]
                sections[section] = float(np.average([subsets[name] for name in present], weights=weights))
        counts = {section: sum(len(by_subset.get(name, ())) for name in names) for section, names in SECTIONS.items()}
        scores = [SuiteScore(name, value, counts[name]) for name, value in sections.items()]
        scores += [SuiteScore(name, value, len(by_subset[name])) for name, value in subsets.items()]
        missing = [name for names in SECTIONS.values() for name in names if name not in subsets]
        return SuiteResult(self.name, mean_of(sections, SECTIONS), tuple(scores), tuple(missing))
