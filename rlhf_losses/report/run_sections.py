"""Sections of a report about training runs."""

from collections.abc import Iterator, Sequence

from rlhf_losses.report.charts import Chart
from rlhf_losses.report.completions import completion_section
from rlhf_losses.report.page import Cell, Section, Table
from rlhf_losses.report.run_charts import LEARNING, OPTIMIZATION, POLICY, charts, other_charts, reward_by_kl, time_chart
from rlhf_losses.report.run_files import Run


def run_sections(runs: Sequence[Run]) -> Iterator[Section]:
    """Yield the sections of runs side by side.

    Args:
        runs: the runs.
    """
    yield Section("Runs", [summary_table(runs)])
    for title, shown in charts_by_title(runs).items():
        yield Section(title, shown)
    for run in runs:
        if run.completions is not None:
            yield completion_section(run.name, run.completions)
    yield Section("All metrics", [metrics_table(run) for run in runs])
    yield Section("Further metrics", other_charts(runs), folded=True)


POLICY_METRICS = ("reward", "objective/rlhf_reward", "kl", "kl_per_completion", "completions/mean_length")
"""Metrics that only the training of a policy has."""


def trains_policy(run: Run) -> bool:
    """Return whether a run trains a policy, because its log has a reward, a KL or completions."""
    return any(run.log.find(name) for name in POLICY_METRICS)


def charts_by_title(runs: Sequence[Run]) -> dict[str, list[Chart]]:
    """Return the charts of runs by the title of their section.

    Args:
        runs: the runs.
    """
    policies = [run for run in runs if trains_policy(run)]
    models = [run for run in runs if run not in policies]
    return {
        "Policy": [*charts(policies, POLICY), *reward_by_kl(policies)],
        "Optimization of the policy": charts(policies, OPTIMIZATION),
        "Learning": charts(models, LEARNING),
        "Time": [chart for run in runs for chart in time_chart(run)],
    }


def summary_table(runs: Sequence[Run]) -> Table:
    """Return what was read of each run.

    Args:
        runs: the runs.
    """
    rows: list[list[Cell]] = []
    for run in runs:
        log, steps = run.log, [one.steps for one in run.log.series.values()]
        extent = f"{min(one[0] for one in steps):g} to {max(one[-1] for one in steps):g} ({log.axis})"
        others = ", ".join(file.name for file in run.other_files)
        counts = len(log.series), len(log.replaced), log.unread
        rows.append([run.name, run.file.name, extent, *counts, ", ".join(log.texts), others])
    header = ("run", "log", "steps", "metrics", "steps logged again", "unread lines", "texts, not shown",
              "other files, not shown")  # fmt: skip
    return Table("What was read", header, rows)


def metrics_table(run: Run) -> Table:
    """Return the table of all metrics of a run.

    Args:
        run: the run.
    """
    rows = []
    for one in run.log.series.values():
        finite = one.finite
        bounds = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
        title = "unknown" if one.meaning is None else one.meaning.title
        rows.append([one.name, title, len(one.values), float(one.values[0]), float(one.values[-1]), *bounds])
    return Table(
        f"Metrics of {run.name}, as they were logged",
        ("name in the log", "meaning", "logs", "first", "last", "min", "max"),
        rows,
    )
