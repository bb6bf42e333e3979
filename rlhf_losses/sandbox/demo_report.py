"""The report of `rlhf-losses demo`."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rlhf_losses.report.charts import Chart, Trace
from rlhf_losses.report.page import Cell, LongText, Section, Table
from rlhf_losses.report.report_file import Report
from rlhf_losses.report.run_files import Run, read_run
from rlhf_losses.sandbox.results import LoopResult, PPOStep

CURVES: dict[str, tuple[str, Callable[[PPOStep], float]]] = {
    "Proxy reward": ("score of the reward model", lambda one: one.proxy),
    "Gold reward": ("gold reward, −1 to 1", lambda one: one.gold),
    "KL to the reference": ("nats per completion", lambda one: one.kl),
}
"""Vertical axis and values of the curves of a PPO run."""


def demo_report(results: Sequence[LoopResult]) -> Report:
    """Return the report of the loop with one or several losses.

    Args:
        results: result of each loss.
    """
    runs = [run for one in results for run in _runs(one, several=len(results) > 1)]
    evaluations = [one.evaluation for one in results if one.evaluation is not None]
    further = Section("The loop", [*progress_charts(results), results_section(results), *map(completions, results)])
    return Report(runs, evaluations, further=[further])


def progress_charts(results: Sequence[LoopResult]) -> list[Chart]:
    """Return proxy reward, gold reward and KL divergence over the steps of PPO.

    Args:
        results: result of each loss.
    """
    charts = []
    for title, (y, values) in CURVES.items():
        traces = [
            Trace(one.loss, [step.step for step in one.steps], list(map(values, one.steps)), color=index)
            for index, one in enumerate(results)
        ]
        charts.append(Chart(f"{title} of PPO", traces, "optimizer step", y))
    return charts


def results_section(results: Sequence[LoopResult]) -> Table:
    """Return the table with one row per loss.

    Args:
        results: result of each loss.
    """
    rows: list[list[Cell]] = [
        [one.loss, one.accuracy, one.gold_before, one.gold_after, *one.gold_gain_ci, one.kl, round(one.seconds)]
        for one in results
    ]
    header = ("loss", "accuracy", "gold reward before", "gold reward after", "gain, low", "gain, high", "KL", "seconds")
    return Table("Results, with the 95 % interval of the gain", header, rows)


def completions(result: LoopResult) -> Table:
    """Return completions of the same prompts before and after PPO, with their gold rewards.

    Args:
        result: result of a loss.
    """
    rows = [
        [pair.prompt, LongText(pair.before), pair.gold_before, LongText(pair.after), pair.gold_after]
        for pair in result.completions
    ]
    header = ("prompt", "before", "gold reward before", "after", "gold reward after")
    return Table(f"Completions before and after PPO: {result.loss}", header, rows)


def _runs(result: LoopResult, several: bool) -> list[Run]:
    if result.folder is None:
        return []
    names = {"policy": "PPO", "reward_model": "reward model"}
    runs = [replace(read_run(result.folder / folder), name=name) for folder, name in names.items()]
    return [replace(run, name=f"{run.name} of {result.loss}") for run in runs] if several else runs
