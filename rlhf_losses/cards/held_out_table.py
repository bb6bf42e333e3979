"""Held-out results on a model card, in the table and in the metadata of the Hub."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult

from rlhf_losses.evaluation.intervals import Estimate
from rlhf_losses.evaluation.length_dependence import LengthDependence
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.score_spread import ScoreSpread

METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auc": "AUC",
    "kendall_tau": "Kendall τ",
    "spearman": "Spearman ρ",
    "pearson": "Pearson r",
    "loss": "Loss",
    "calibration_error": "Calibration error",
}
"""Metrics that a card shows, and their names."""


@dataclass(frozen=True)
class Result:
    """One metric on one dataset.

    Attributes:
        metric: name of the metric in the log.
        value: its value.
        interval: its 95 % interval, or None if it is unknown.
    """

    metric: str
    value: float
    interval: tuple[float, float] | None = None

    @property
    def title(self) -> str:
        """Return the name of the metric in the table."""
        return METRICS.get(self.metric, self.metric)

    @property
    def shown(self) -> str:
        """Return the value and its interval as text."""
        interval = "" if self.interval is None else f" ({self.interval[0]:z.3f} to {self.interval[1]:z.3f})"
        return f"{self.value:z.3f}{interval}"


@dataclass(frozen=True)
class HeldOutSet:
    """Results on one dataset that was not trained on.

    Attributes:
        name: name of the dataset: a Hub id, or the name of a file.
        rows: number of rows, or None if it is unknown.
        dropped: number of rows that are not part of the results.
        results: the metrics.
        notes: sentences about the spread of the scores, the length bias and what makes the metrics misleading.
        picture: file with charts of the scores, or None.
    """

    name: str
    rows: int | None
    dropped: int
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()
    picture: str | None = None

    @classmethod
    def of(cls, name: str, evaluation: Evaluation, picture: str | None = None) -> "HeldOutSet":
        """Return the results of an evaluation.

        Args:
            name: name of the dataset.
            evaluation: the evaluation.
            picture: file with charts of the scores.
        """
        estimates = {
            key: one for agreement in reversed(evaluation.agreements) for key, one in agreement.estimates.items()
        }
        results = []
        for metric in METRICS:
            if metric in estimates:
                estimate = estimates[metric]
                interval = None if math.isnan(estimate.low) else (estimate.low, estimate.high)
                results.append(Result(metric, estimate.value, interval))
            elif metric in evaluation:
                results.append(Result(metric, evaluation[metric]))
        lengths = [
            one for agreement in evaluation.agreements if (one := length_sentence(agreement.length, agreement.kind))
        ]
        spread = [] if evaluation.spread is None else [_spread_sentence(evaluation.spread)]
        ratings = [evaluation.note_on_ratings] if evaluation.note_on_ratings else []
        notes = tuple(dict.fromkeys([*ratings, *spread, *lengths, *evaluation.warnings]))
        dropped = evaluation.dropped
        return cls(name, dropped.given, dropped.total, tuple(results), notes, picture)

    def eval_results(self) -> list[EvalResult]:
        """Return the results as metadata of the Hub."""
        return [
            EvalResult(
                task_type="text-classification",
                task_name="Reward model",
                dataset_type=self.name,
                dataset_name=self.name,
                metric_type=one.metric,
                metric_name=one.title,
                metric_value=round(one.value, 6),
            )
            for one in self.results
        ]


def results_in_log(log: Sequence[Mapping[str, Any]], rows: Mapping[str, int]) -> tuple[HeldOutSet, ...]:
    """Return the last results of each evaluation set in the log of a run.

    Args:
        log: `trainer.state.log_history`.
        rows: number of rows of each evaluation set, by the beginning of its metrics.
    """
    found = []
    for prefix, count in rows.items():
        entry = next((one for one in reversed(log) if f"{prefix}loss" in one), None)
        if entry is None:
            continue
        results = tuple(Result(name, float(entry[prefix + name])) for name in METRICS if prefix + name in entry)
        name = prefix.removeprefix("eval_").rstrip("_") or "evaluation data of the training"
        found.append(HeldOutSet(name, count, 0, results))
    return tuple(found)


def length_sentence(length: LengthDependence | None, kind: str) -> str | None:
    """Return a sentence about the dependence of scores on length, or None if it is unknown.

    Args:
        length: the correlations.
        kind: kind of the annotations, such as `comparisons`.
    """
    if length is None or math.isnan(length.correlation.value):
        return None
    other = length.partial_correlation
    at_equal = "" if math.isnan(other.value) else f"; at equal annotations it is {_shown(other)}"
    return f"Length ({kind}): the correlation of score and length is {_shown(length.correlation)}{at_equal}."


def _spread_sentence(spread: ScoreSpread) -> str:
    return (
        f"The scores of the different answers, each counted once, have a standard deviation of {spread.total:.3g}, and "
        f"those of one prompt {spread.within:.3g}."
    )


def _shown(estimate: Estimate) -> str:
    """Return a number with its interval, if there is one."""
    interval = "" if math.isnan(estimate.low) else f" ({estimate.low:z.2f} to {estimate.high:z.2f})"
    return f"{estimate.value:z.2f}{interval}"
