"""Whether a reward model ranks better than chance after its training, with the interval of its accuracy."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, isnan, sqrt
from statistics import NormalDist, fmean
from typing import Any

from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.setting_names import setting

Z = NormalDist().inv_cdf(0.975)
"""Half-width of a 95 % interval, in standard errors."""

SHARE = 5
"""The training accuracy is the mean of the last fifth of the logs."""


@dataclass(frozen=True)
class AccuracySummary:
    """The accuracy of a reward model.

    Attributes:
        name: what the accuracy was measured on.
        accuracy: the accuracy.
        low: lower end of its 95 % interval.
        high: upper end.
        chance: accuracy without any skill: 0.5 for comparisons, the share of the more frequent label for labels.
    """

    name: str
    accuracy: float
    low: float
    high: float
    chance: float

    def estimated_by(self, evaluation: Evaluation | None) -> "AccuracySummary":
        """Return the accuracy and the interval of an evaluation, which counts the rows of a prompt together.

        Args:
            evaluation: an evaluation of the same rows; None, or one without accuracy, changes nothing.
        """
        agreements = () if evaluation is None else evaluation.agreements
        found = next((one.estimates["accuracy"] for one in agreements if "accuracy" in one.estimates), None)
        if found is None or isnan(found.low):
            return self
        return replace(self, accuracy=found.value, low=found.low, high=found.high)


def summarize_accuracy(
    log: Sequence[Mapping[str, Any]],
    eval_rows: Mapping[str, int] | None = None,
    rows_per_step: int = 0,
    train_rows: int | None = None,
) -> list[AccuracySummary]:
    """Return the accuracy on each evaluation set, or else that of the last fifth of the training logs.

    An interval counts a row once, however many comparisons or epochs it is part of, and ties not at all.

    Args:
        log: `trainer.state.log_history`.
        eval_rows: number of rows of each evaluation set, by the beginning of its metrics, such as `"eval_"`.
        rows_per_step: number of rows of an optimizer step, on all processes.
        train_rows: number of rows of the training data, if it is known.

    Examples:
        >>> [summary] = summarize_accuracy([{"eval_accuracy": 0.6}], {"eval_": 100})
        >>> summary.accuracy, round(summary.low, 2), round(summary.high, 2), summary.chance
        (0.6, 0.5, 0.69, 0.5)
    """
    found = []
    for prefix, rows in (eval_rows or {}).items():
        entry = next((entry for entry in reversed(log) if f"{prefix}accuracy" in entry), None)
        rows = min(rows, int(entry.get(f"{prefix}accuracy_count", rows))) if entry is not None else 0
        if entry is not None and rows:
            accuracy, chance = float(entry[f"{prefix}accuracy"]), float(entry.get(f"{prefix}base_rate", 0.5))
            name = f"Accuracy on {re.sub('^eval_?', '', prefix).rstrip('_') or 'the evaluation data'}"
            found.append(AccuracySummary(name, accuracy, *wilson_interval(accuracy, rows), chance))
    return found or _training_accuracy([entry for entry in log if "accuracy" in entry], rows_per_step, train_rows)


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    r"""Return the 95 % interval of a share.

    $\left(p + \frac{z^2}{2n} \pm z \sqrt{\frac{p (1 - p)}{n} + \frac{z^2}{4 n^2}}\right) / (1 + z^2 / n)$

    Args:
        share: the share $p$ of `count` items.
        count: number of items $n$.

    References:
        Wilson (1927), Journal of the American Statistical Association 22.
    """
    middle = share + Z**2 / (2 * count)
    half = Z * sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return (middle - half) / (1 + Z**2 / count), (middle + half) / (1 + Z**2 / count)


def _training_accuracy(
    logged: Sequence[Mapping[str, Any]], rows_per_step: int, train_rows: int | None
) -> list[AccuracySummary]:
    """Return the mean over the rows of the last fifth of the logs; each log is the mean over its steps."""
    count = len(logged) // SHARE
    if count < 2:
        return []
    last = logged[-count:]
    steps = [entry["step"] - before["step"] for before, entry in pairwise(logged[-count - 1 :])]
    judged = sum(entry.get("accuracy_count", inf) for entry in last)  # absent in logs of earlier versions
    rows = int(min(sum(steps) * rows_per_step, judged, train_rows or inf))
    if rows <= 0:
        return []
    accuracy = fmean([float(entry["accuracy"]) for entry in last], steps)
    chance = fmean([float(entry.get("base_rate", 0.5)) for entry in last], steps)
    name = f"Training accuracy in the last {count} logs ({rows} rows)"
    return [AccuracySummary(name, accuracy, *wilson_interval(accuracy, rows), chance)]


def describe_accuracy(summary: AccuracySummary) -> str:
    """Return the accuracy with its interval, and what to do if it is no better than chance.

    Args:
        summary: an accuracy.

    Examples:
        >>> print(describe_accuracy(AccuracySummary("Accuracy on math", 0.71, 0.66, 0.76, 0.5)))
        Accuracy on math: 0.710 (95 % interval 0.660 to 0.760).
    """
    found = f"{summary.name}: {summary.accuracy:z.3f} (95 % interval {summary.low:z.3f} to {summary.high:z.3f})."
    if summary.low > summary.chance:
        return found
    better, rate = "not clearly" if summary.accuracy > summary.chance else "no", setting("learning_rate")
    return (
        f"{found} This is {better} better than chance ({summary.chance:z.3f}). Try a {rate} that is 3 to 10 times "
        "larger, or more epochs, and look for wrong labels with rlhf-losses inspect."
    )
