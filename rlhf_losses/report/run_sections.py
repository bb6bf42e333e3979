"""Sections of a report about training runs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from rlhf_losses.evaluation.intervals import FloatVector
from rlhf_losses.report.completions import completion_section
from rlhf_losses.report.page import Cell, Chart, Section, Table, Trace
from rlhf_losses.report.run_files import Run
from rlhf_losses.report.run_log import MetricSeries

COLORS = tuple(f"color:series-{number}" for number in range(1, 7))
DASHES = ("solid", "dash", "dot", "dashdot")
MAX_POINTS = 2000
"""Number of points above which a line shows the smallest and the largest value of each range of steps."""
SMOOTHED = 60
"""Number of points from which a line has its running mean in addition."""


@dataclass(frozen=True)
class MetricChart:
    """Metrics that are shown in one chart.

    Attributes:
        title: what the chart shows.
        metrics: names of the metrics in the logs of this package.
        y: title of the vertical axis.
        note: how to read it.
    """

    title: str
    metrics: tuple[str, ...]
    y: str
    note: str = ""


LEARNING = (
    MetricChart("Loss", ("loss", "loss/*"), "loss", "In PPO and GRPO the loss shows no progress. If the loss of an "
                "evaluation rises while that of the training falls, the model is overfitted."),
    MetricChart("Accuracy", ("accuracy", "balanced_accuracy", "auc", "processbench_f1"), "share"),
    MetricChart("Margin", ("margin",), "score difference", "Mean score of the better answer minus that of the other."),
    MetricChart("Scores", ("rewards/chosen", "rewards/rejected", "mean_reward", "min_reward", "max_reward"), "score"),
    MetricChart("Gradient norm", ("grad_norm",), "norm"),
    MetricChart("Learning rate", ("learning_rate",), "learning rate"),
)  # fmt: skip
POLICY = (
    MetricChart("Reward", ("reward", "objective/rlhf_reward", "held_out_reward"), "reward", "Before and after the KL "
                "penalty. If the first rises and the second falls, the policy pays with KL."),
    MetricChart("Reward functions", ("rewards/*/mean",), "reward"),
    MetricChart("Standard deviation of the reward", ("reward_std", "rewards/*/std"), "reward", "Near 0, all "
                "completions have the same reward, and the policy learns nothing."),
    MetricChart("KL to the reference per completion", ("kl_per_completion",), "nats"),
    MetricChart("KL to the reference per token", ("kl",), "nats"),
    MetricChart("Coefficient of the KL penalty", ("kl_coefficient",), "coefficient"),
    MetricChart("Entropy per token", ("entropy",), "nats", "Near 0, the policy writes one text only."),
    MetricChart("Entropy per completion", ("entropy_per_completion",), "nats"),
    MetricChart("Length", ("completions/mean_length", "completions/min_length", "completions/max_length",
                "completions/mean_terminated_length"), "tokens"),
    MetricChart("Truncated completions", ("completions/clipped_ratio",), "share", "Completions that reached the "
                "largest length without EOS."),
    MetricChart("Prompts with equal rewards", ("frac_reward_zero_std",), "share"),
    MetricChart("Value loss", ("loss/value",), "loss"),
    MetricChart("Explained variance", ("value/explained_variance",), "share", "1: the critic predicts the returns; 0 "
                "or less: it is no better than their mean."),
    MetricChart("Values", ("value/mean",), "value"),
    MetricChart("Policy loss", ("loss/policy",), "loss"),
    MetricChart("Probability ratio", ("ratio",), "ratio", "To the policy at rollout; 1 in its first epoch."),
    MetricChart("KL to the policy at rollout", ("approx_kl",), "nats per token"),
    MetricChart("Clipping", ("clip_ratio/region_mean", "clip_ratio/low_mean", "clip_ratio/high_mean",
                "value/clip_ratio"), "share"),
    MetricChart("Advantages", ("advantages/mean",), "advantage"),
)  # fmt: skip

PHASES = ("gen", "reward", "old_log_prob", "ref", "values", "adv", "update_critic", "update_actor")
"""Phases of a step of verl; its other times are parts of these, or of no step."""


def run_sections(runs: Sequence[Run]) -> Iterator[Section]:
    """Yield the sections of runs side by side.

    Args:
        runs: the runs.
    """
    yield Section("Runs", [summary_table(runs)], warnings=[text for run in runs for text in run_warnings(run)])
    policy = [*charts(runs, POLICY), *reward_by_kl(runs)]
    yield Section("Policy", policy)
    yield Section("Learning", charts(runs, LEARNING))
    yield Section("Time", [chart for run in runs for chart in time_chart(run)])
    for run in runs:
        if run.completions is not None:
            yield completion_section(run.name, run.completions)
    yield Section("All metrics", [metrics_table(run) for run in runs])
    unknown = sorted({one.name for run in runs for one in run.log.unknown})
    yield Section("Unknown metrics", [unknown_chart(runs, name) for name in unknown], folded=True)


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


def run_warnings(run: Run) -> Iterator[str]:
    """Yield sentences about values that are not finite, and about steps that were logged again.

    Args:
        run: the run.
    """
    for one in run.log.series.values():
        bad = one.steps[~np.isfinite(one.values)]
        if len(bad):
            yield (
                f"{run.name}: {one.name} is NaN or infinite in {len(bad)} of {len(one.values)} logs, first at "
                f"{run.log.axis} {bad[0]:g}."
            )
    if run.log.replaced:
        yield (
            f"{run.name}: {len(run.log.replaced)} steps from {min(run.log.replaced):g} to {max(run.log.replaced):g} "
            "were logged again, as after a resume. The last values are shown."
        )


def charts(runs: Sequence[Run], specifications: Iterable[MetricChart]) -> list[Chart]:
    """Return the charts of which a run has a metric.

    Args:
        runs: the runs.
        specifications: the charts.
    """
    found = []
    for one in specifications:
        traces = [trace for number, run in enumerate(runs) for trace in lines(runs, number, select(run, one.metrics))]
        if traces:
            found.append(Chart(one.title, traces, axis_title(runs), one.y, one.note))
    return found


def select(run: Run, metrics: Iterable[str]) -> list[MetricSeries]:
    """Return the series of some metrics; a single point is left out if there are lines.

    Args:
        run: the run.
        metrics: names of the metrics.
    """
    found = [one for name in metrics for one in run.log.find(name)]
    long = [one for one in found if len(one.values) > 1]
    return long or found


def lines(runs: Sequence[Run], number: int, series: Sequence[MetricSeries]) -> Iterator[Trace]:
    """Yield the lines of a run: of several runs each has a color, of one run each metric.

    Args:
        runs: all runs.
        number: index of the run.
        series: its series in the chart.
    """
    for index, one in enumerate(series):
        several = len(runs) > 1
        name = f"{runs[number].name}: {one.name}" if several else one.name
        color = COLORS[(number if several else index) % len(COLORS)]
        dash = DASHES[index % len(DASHES)] if several else "solid"
        steps, values = thinned(one.steps, one.values)
        mode = "lines+markers" if len(steps) <= 30 else "lines"
        smooth = len(one.values) >= SMOOTHED
        line = {"color": color, "dash": dash, "width": 2}
        trace = {"type": "scatter", "name": escape(name, quote=False), "mode": mode, "legendgroup": name, "line": line,
                 "x": steps.tolist(), "y": values.tolist()}  # fmt: skip
        yield {**trace, "opacity": 0.35, "showlegend": False, "hoverinfo": "skip"} if smooth else trace
        if smooth:
            steps, values = thinned(one.steps, running_mean(one.values))
            yield {**trace, "x": steps.tolist(), "y": values.tolist()}


def running_mean(values: FloatVector) -> FloatVector:
    """Return the mean of the finite values in a window of a twentieth of all, centred at each one.

    Args:
        values: the values.

    Examples:
        >>> running_mean(np.array([1.0, np.nan, 3.0])).tolist()
        [1.0, nan, 3.0]
    """
    half = len(values) // 40
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    with np.errstate(invalid="ignore", divide="ignore"):
        means: FloatVector = (sums[high] - sums[low]) / (counts[high] - counts[low])
    return means


def thinned(steps: FloatVector, values: FloatVector) -> tuple[FloatVector, FloatVector]:
    """Return at most about `MAX_POINTS` points: of each range of steps the smallest and the largest value.

    Args:
        steps: the steps.
        values: the values.

    Examples:
        >>> steps, values = thinned(np.arange(9000.0), np.eye(1, 9000, 4321)[0])
        >>> len(steps) <= 2000, float(values.max())
        (True, 1.0)
    """
    if len(steps) <= MAX_POINTS:
        return steps, values
    chosen = set()
    for part in np.array_split(np.arange(len(steps)), MAX_POINTS // 2):
        finite = part[np.isfinite(values[part])]
        chosen |= (
            {int(finite[values[finite].argmin()]), int(finite[values[finite].argmax()])} if len(finite) else {part[0]}
        )
    kept = np.array(sorted(chosen))
    return steps[kept], values[kept]


def reward_by_kl(runs: Sequence[Run]) -> list[Chart]:
    """Return the reward against the square root of the KL per completion, if both were logged.

    Args:
        runs: the runs.
    """
    traces = []
    for number, run in enumerate(runs):
        reward, kl = next(iter(select(run, ["reward"])), None), kl_per_completion(run)
        if reward is None or kl is None:
            continue
        steps, first, second = np.intersect1d(reward.steps, kl.steps, return_indices=True)
        kept = kl.values[second] >= 0
        x, y = np.sqrt(kl.values[second][kept]), reward.values[first][kept]
        x, y, steps = (
            x[:: len(x) // MAX_POINTS + 1],
            y[:: len(y) // MAX_POINTS + 1],
            steps[kept][:: len(y) // MAX_POINTS + 1],
        )
        texts = [f"{run.log.axis} {step:g}" for step in steps]
        marker = {"color": COLORS[number % len(COLORS)], "size": 7, "opacity": np.linspace(0.25, 1, len(x)).tolist()}
        traces.append({"type": "scatter", "mode": "markers", "name": escape(run.name, quote=False), "text": texts,
                       "marker": marker, "x": x.tolist(), "y": y.tolist()})  # fmt: skip
    note = "Later steps have stronger colors. A reward that rises with the KL can be a fault of the reward model. "
    note += "Negative estimates of the KL are left out."
    return [Chart("Reward against √KL", traces, "√KL (KL in nats per completion)", "reward", note)] if traces else []


def kl_per_completion(run: Run) -> MetricSeries | None:
    """Return the KL per completion; from the KL per token and the mean length if only these were logged.

    Args:
        run: the run.
    """
    for one in select(run, ["kl_per_completion"]):
        return one
    kl, length = (next(iter(select(run, [name])), None) for name in ("kl", "completions/mean_length"))
    if kl is None or length is None:
        return None
    steps, first, second = np.intersect1d(kl.steps, length.steps, return_indices=True)
    return MetricSeries("KL per token × mean length", steps, kl.values[first] * length.values[second])


def time_chart(run: Run) -> list[Chart]:
    """Return the shares of the phases in the time of each step, if they were logged.

    Args:
        run: the run.
    """
    named = [(one.meaning.part, one) for name in ("time/*", "timing_s/*") for one in run.log.find(name) if one.meaning]
    phases = [(part, one) for part, one in named if one.name.startswith("time/") or part in PHASES]
    if len(phases) < 2:
        return []
    traces = []
    for index, (part, one) in enumerate(phases):
        steps, values = one.steps[:: len(one.steps) // MAX_POINTS + 1], one.values[:: len(one.steps) // MAX_POINTS + 1]
        color = COLORS[index % len(COLORS)]
        traces.append({"type": "scatter", "mode": "lines", "stackgroup": "time", "groupnorm": "percent",
                       "name": escape(part, quote=False), "line": {"color": color, "width": 1},
                       "x": steps.tolist(), "y": values.tolist()})  # fmt: skip
    return [Chart(f"Shares of time: {run.name}", traces, run.log.axis, "percent of the phases shown")]


def unknown_chart(runs: Sequence[Run], name: str) -> Chart:
    """Return the chart of a metric whose name is unknown.

    Args:
        runs: the runs.
        name: its name in the logs.
    """
    found = [(index, run.log.series[name]) for index, run in enumerate(runs) if name in run.log.series]
    return Chart(
        name, [trace for index, one in found for trace in lines(runs, index, [one])], axis_title(runs), "value"
    )


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
    return Table(f"Metrics of {run.name}", ("name in the log", "meaning", "logs", "first", "last", "min", "max"), rows)


def axis_title(runs: Sequence[Run]) -> str:
    """Return what the horizontal axis counts."""
    return " or ".join(dict.fromkeys(run.log.axis for run in runs))
