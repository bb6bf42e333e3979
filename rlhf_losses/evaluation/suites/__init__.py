"""Public evaluation suites: one class per suite, with the rules of its authors."""

from rlhf_losses.evaluation.suites.base import Suite, SuiteResult, SuiteScore
from rlhf_losses.evaluation.suites.judgebench import JudgeBenchSuite
from rlhf_losses.evaluation.suites.llmbar import LlmBarSuite
from rlhf_losses.evaluation.suites.ppe import PpeSuite
from rlhf_losses.evaluation.suites.prmbench import PrmBenchSuite
from rlhf_losses.evaluation.suites.processbench import ProcessBenchSuite
from rlhf_losses.evaluation.suites.rewardbench import RewardBenchSuite
from rlhf_losses.evaluation.suites.rewardbench2 import RewardBench2Suite
from rlhf_losses.evaluation.suites.rmbench import RmBenchSuite

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        RewardBenchSuite(),
        RewardBench2Suite(),
        RmBenchSuite(),
        PpeSuite(),
        JudgeBenchSuite(),
        ProcessBenchSuite(),
        PrmBenchSuite(),
        LlmBarSuite(),
    )
}
"""The suites by name."""

__all__ = ["SUITES", "Suite", "SuiteResult", "SuiteScore"]
