"""Whether a reward model ranks better than chance after its training, with intervals."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isnan, sqrt
from statistics import NormalDist, fmean
from typing import Any

from rlhf_losses.evaluation.items import ComparedPairs, RatedItems
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.messages.setting_names import setting

Z = NormalDist().inv_cdf(0.975)
"""Half-width of a 95 % interval, in standard errors."""

SHARE = 5
"""The training accuracy is the mean of the last fifth of the logs."""


@dataclass(frozen=True)
class AccuracySummary:
    """The accuracy of a reward model, or its rank correlation with ratings.

    Attributes:
        name: what was measured, and on which data.
        accuracy: the accuracy, or the rank correlation.
        low: lower end of its 95 % interval.
        high: upper end.
        chance: the value without any skill: 0.5 for comparisons, the share of the more frequent label for labels, and 0
            for a rank correlation.
    """

    name: str
    accuracy: float
    low: float
    high: float
    chance: float


def summarize_evaluation(evaluation: Evaluation | None) -> list[AccuracySummary]:
    """Return the accuracy and the rank correlation of an evaluation, which counts the rows of a prompt together.

    Args:
        evaluation: an evaluation of the evaluation data of a run, or None.
    """
    if evaluation is None:
        return []
    found: dict[str, AccuracySummary] = {}
    for kind, metric, one in ((part.kind, *item) for part in evaluation.agreements for item in part.estimates.items()):
        if metric == "accuracy":
            chance = 0.5 if kind == ComparedPairs.kind else evaluation.get("base_rate", 0.5)
            within = " within prompts" if evaluation.compares_ratings else ""
            name = f"Accuracy{within} on the evaluation data"
        elif metric == RatedItems.main and not (evaluation.compares_ratings and evaluation.trained_on_differences):
            chance, name = 0.0, "Rank correlation with the ratings of the evaluation data"
        else:
            continue
        if not isnan(one.low):
            found.setdefault(name, AccuracySummary(name, one.value, one.low, one.high, chance))
    return list(found.values())


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


def describe_accuracies(summaries: Sequence[AccuracySummary]) -> list[str]:
    """Return accuracies with their intervals, and what to do if one is no better than chance.

    Args:
        summaries: the accuracies.

    Examples:
        >>> describe_accuracies([AccuracySummary("Accuracy on math", 0.71, 0.66, 0.76, 0.5)])
        ['Accuracy on math: 0.710 (95 % interval 0.660 to 0.760).']
    """
    lines = []
    for one in summaries:
        better = "not clearly" if one.accuracy > one.chance else "no"
        at_chance = "" if one.low > one.chance else f" This is {better} better than chance ({one.chance:z.3f})."
        interval = f"(95 % interval {one.low:z.3f} to {one.high:z.3f})"
        lines.append(f"{one.name}: {one.accuracy:z.3f} {interval}.{at_chance}")
    if any(one.low <= one.chance for one in summaries):
        lines[-1] += (
            f" Try a {setting('learning_rate')} that is 3 to 10 times larger, or more epochs, and look for wrong "
            "labels with rlhf-losses inspect."
        )
    return lines
