"""Charts of training runs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rlhf_losses.evaluation.intervals import FloatVector
from rlhf_losses.report.charts import Chart, Trace
from rlhf_losses.report.run_files import Run
from rlhf_losses.report.run_log import MetricSeries

MAX_POINTS = 2000
"""Number of points above which a line shows the smallest and the largest value of each range of steps."""
SMOOTHED = 60
"""Number of points from which a line has its running mean in addition."""
ROUNDING = 1e-4
"""Difference up to which two losses in a log are equal: transformers rounds one of them to four decimals."""
FEW = 30
"""Number of points up to which a line has markers."""
SHARE = "share"
"""Vertical axis of shares, which are shown in percent."""


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
    MetricChart("Loss", ("loss", "loss/*"), "loss", "If the held-out loss rises while the "
                "training loss falls, the model is overfitted."),
    MetricChart("Accuracy", ("accuracy", "balanced_accuracy", "auc", "processbench_f1"), SHARE),
    MetricChart("Margin", ("margin",), "score difference", "Mean score of the better answer minus that of the other."),
    MetricChart("Scores", ("rewards/chosen", "rewards/rejected", "mean_reward", "min_reward", "max_reward"), "score"),
    MetricChart("Gradient norm", ("grad_norm",), "norm"),
    MetricChart("Learning rate", ("learning_rate",), "learning rate"),
)  # fmt: skip
OPTIMIZATION = (replace(LEARNING[0], note="In PPO and GRPO the loss shows no progress."), *LEARNING[1:])
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
    MetricChart("Truncated completions", ("completions/clipped_ratio",), SHARE, "Completions that reached the "
                "largest length without EOS."),
    MetricChart("Prompts with equal rewards", ("frac_reward_zero_std",), SHARE),
    MetricChart("Value loss", ("loss/value",), "loss"),
    MetricChart("Explained variance", ("value/explained_variance",), "explained variance", "1: the critic predicts the "
                "returns; 0 or less: it is no better than their mean."),
    MetricChart("Values", ("value/mean",), "value"),
    MetricChart("Policy loss", ("loss/policy",), "loss"),
    MetricChart("Probability ratio", ("ratio",), "ratio", "To the policy at rollout; 1 in its first epoch."),
    MetricChart("KL to the policy at rollout", ("approx_kl",), "nats per token"),
    MetricChart("Clipping", ("clip_ratio/region_mean", "clip_ratio/low_mean", "clip_ratio/high_mean",
                "value/clip_ratio"), SHARE),
    MetricChart("Advantages", ("advantages/mean",), "advantage"),
)  # fmt: skip

PHASES = ("gen", "reward", "old_log_prob", "ref", "values", "adv", "update_critic", "update_actor")
"""Phases of a step of verl; its other times are parts of these, or of no step."""

NOT_CHARTED = {"epoch", "total_flos", "runtime", "samples_per_second", "steps_per_second", "time/*"}
"""Metrics that are in the table alone, because their course says nothing, and shares of time."""


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
            percent: Literal["", "y"] = "y" if one.y == SHARE else ""
            found.append(Chart(one.title, traces, axis_title(runs), one.y, one.note, percent=percent))
    return found


def select(run: Run, metrics: Iterable[str]) -> list[MetricSeries]:
    """Return the series of some metrics; a single point is left out if there are lines, and so is the only
    term of a loss.

    Args:
        run: the run.
        metrics: names of the metrics.
    """
    found = [one for name in metrics for one in run.log.find(name)]
    long = [one for one in found if len(one.values) > 1]
    return _distinct(long or found)


def _distinct(series: Sequence[MetricSeries]) -> list[MetricSeries]:
    """Return the series without the term of a loss that is the whole loss."""
    found: list[MetricSeries] = []
    for one in series:
        is_term = one.meaning is not None and one.meaning.metric.name == "loss/*"
        if not (is_term and any(_equal(one, other, ROUNDING) for other in found)):
            found.append(one)
    return found


def _equal(one: MetricSeries, other: MetricSeries, difference: float = 0.0) -> bool:
    """Return whether two series are equal, up to a difference of their values."""
    values = one.values, other.values
    return np.array_equal(one.steps, other.steps) and np.allclose(*values, atol=difference, equal_nan=True)


def lines(runs: Sequence[Run], number: int, series: Sequence[MetricSeries]) -> Iterator[Trace]:
    """Yield the lines of a run: of several runs each has a color, of one run each metric. Equal metrics share a line.

    Args:
        runs: all runs.
        number: index of the run.
        series: its series in the chart.
    """
    several = len(runs) > 1
    lines_of: dict[MetricSeries, list[str]] = {}
    for one in series:
        first = next((other for other in lines_of if _equal(one, other)), one)
        lines_of.setdefault(first, []).append(one.name)
    for index, (one, names) in enumerate(lines_of.items()):
        name = " =\n".join(names)
        name = f"{runs[number].name}: {name}" if several else name
        color, style = (number, index) if several else (index, 0)
        means = running_mean(one.values) if len(one.values) >= SMOOTHED else None
        steps, values = _plain(*thinned(one.steps, one.values))
        markers = len(steps) <= FEW
        if means is None:
            yield Trace(name, steps, values, color=color, style=style, markers=markers)
        else:
            yield Trace(name, steps, values, color=color, style=style, opacity=0.35, listed=False)
            steps, values = _plain(*thinned(one.steps, means))
            yield Trace(name, steps, values, color=color, style=style)


def _plain(steps: FloatVector, values: FloatVector) -> tuple[list[float], list[float]]:
    return steps.tolist(), values.tolist()


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
        kept = np.flatnonzero(kl.values[second] >= 0)
        kept = kept[:: len(kept) // MAX_POINTS + 1]
        x, y = np.sqrt(kl.values[second][kept]).tolist(), reward.values[first][kept].tolist()
        labels = [f"{run.log.axis} {step:g}" for step in steps[kept].tolist()]
        opacity = np.linspace(0.25, 1, len(x)).tolist()
        traces.append(Trace(run.name, x, y, "points", number, number, opacity=opacity, labels=labels))
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
        every = slice(None, None, len(one.steps) // MAX_POINTS + 1)
        traces.append(Trace(part, one.steps[every].tolist(), one.values[every].tolist(), "area", index))
    return [Chart(f"Shares of time: {run.name}", traces, run.log.axis, "percent of the phases shown")]


def other_charts(runs: Sequence[Run]) -> list[Chart]:
    """Return one chart for each metric that no other chart shows, with its name in the logs.

    Args:
        runs: the runs.
    """
    shown = {name for one in (*LEARNING, *POLICY) for name in one.metrics} | NOT_CHARTED
    names = sorted(
        {
            one.name
            for run in runs
            for one in run.log.series.values()
            if one.meaning is None or one.meaning.metric.name not in shown
        }
    )
    found = []
    for name in names:
        traces = [
            trace
            for index, run in enumerate(runs)
            if name in run.log.series
            for trace in lines(runs, index, [run.log.series[name]])
        ]
        found.append(Chart(name, traces, axis_title(runs), "value"))
    return found


def axis_title(runs: Sequence[Run]) -> str:
    """Return what the horizontal axis counts."""
    return " or ".join(dict.fromkeys(run.log.axis for run in runs))
