"""Titles of the numbers of an evaluation, and their values as cells of a table."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlhf_losses.messages.percentages import percent, percent_range
from rlhf_losses.report.page import Cell, Name, Share

ROUNDING = 1e-6
"""Numbers that are smaller are 0: the error of a float32 score of about 1 is 1e-7, and means add up errors."""


@dataclass(frozen=True)
class Statistic:
    """What a number is.

    Attributes:
        title: what it is.
        is_share: whether it is shown in percent.
    """

    title: str
    is_share: bool = False

    def cell(self, value: float | None) -> Cell:
        """Return a value as a cell."""
        if value is None:
            return None
        return Share(value) if self.is_share else without_rounding(value)

    def difference(self, estimate: Mapping[str, Any]) -> tuple[Cell, str]:
        """Return a difference of two values as a cell, and its interval."""
        if not self.is_share:
            return self.cell(estimate["value"]), self.interval(estimate)
        value, low, high = (estimate[name] for name in ("value", "low", "high"))
        found = Share(value, is_difference=True)
        return found, "" if low is None else f"{100 * low:+z.1f} to {Share(high, is_difference=True)}"

    def interval(self, estimate: Mapping[str, Any]) -> str:
        """Return the interval of an estimate, or an empty text if it is unknown."""
        low, high = estimate.get("low"), estimate.get("high")
        if low is None or high is None:
            return ""
        return (
            percent_range(low, high)
            if self.is_share
            else f"{without_rounding(low):.4g} to {without_rounding(high):.4g}"
        )


def without_rounding(value: float) -> float:
    """Return a number that is computed from scores, or 0 if it is as small as their errors of rounding.

    Args:
        value: the number.

    Examples:
        >>> without_rounding(-3.7e-8), without_rounding(0.25), without_rounding(3)
        (0, 0.25, 3)
    """
    return value if abs(value) >= ROUNDING or math.isnan(value) else 0


METRICS = {
    "rows": Statistic("rows"),
    "dropped rows": Statistic("dropped rows"),
    "ties": Statistic("ties of the annotators"),
    "accuracy": Statistic("accuracy", is_share=True),
    "accuracy_count": Statistic("comparisons or labels of the accuracy"),
    "accuracy_ceiling": Statistic("accuracy ceiling", is_share=True),
    "base_rate": Statistic("share of the more frequent label", is_share=True),
    "balanced_accuracy": Statistic("balanced accuracy", is_share=True),
    "answer_accuracy": Statistic("accuracy of whole answers", is_share=True),
    "processbench_error": Statistic("first error found in wrong answers", is_share=True),
    "processbench_correct": Statistic("right answers without an alarm", is_share=True),
    "processbench_f1": Statistic("ProcessBench F1", is_share=True),
    "f1": Statistic("F1 of the positive labels", is_share=True),
    "negative_f1": Statistic("F1 of the negative labels", is_share=True),
    "auc": Statistic("area under the ROC curve"),
    "tied_scores": Statistic("pairs with equal scores", is_share=True),
    "margin": Statistic("mean score of the better answer minus that of the worse one"),
    "mean_score": Statistic("mean of the scores of all rows"),
    "std_score": Statistic("standard deviation of the scores of all rows"),
    "loss": Statistic("loss"),
    "kendall_tau": Statistic("Kendall's rank correlation of scores and ranks"),
    "spearman": Statistic("rank correlation of scores and ratings"),
    "pearson": Statistic("correlation of scores and ratings"),
    "calibration_error": Statistic("calibration error"),
    "brier": Statistic("Brier score"),
    "length_correlation": Statistic("correlation of score and length of prompt and answer"),
    "partial_length_correlation": Statistic("correlation of score and length of the answer, without what the "
                                            "annotations explain"),
    "overall": Statistic("overall score of the suite", is_share=True),
}  # fmt: skip
"""Metrics by their names in `metrics.json`, in the order of a table."""

LENGTH = {
    "correlation": Statistic("correlation of score and length of the answer, within pairs"),
    "partial_correlation": Statistic("the same without what the annotations explain"),
    "longer_is_better": Statistic("pairs in which the longer answer (in tokens) is better", is_share=True),
    "accuracy_longer_better": Statistic("accuracy where the longer answer is better", is_share=True),
    "accuracy_shorter_better": Statistic("accuracy where the shorter answer is better", is_share=True),
}
"""Statistics about the length of the answer."""

SLICES = {
    "margin": "annotated margin",
    "length_ratio": "length of the better answer / length of the worse one",
    "annotator_agreement": "annotators who agree",
    "prompt_tokens": "tokens of the prompt",
}
"""Titles of the slices that are no columns."""


def statistic(name: str) -> Statistic:
    """Return what a metric is; one without a title has its name.

    Args:
        name: name in `metrics.json`.
    """
    return METRICS.get(name, Statistic(name))


def metric_name(name: str) -> Cell:
    """Return the title of a metric with its name in `metrics.json`, if they differ.

    Args:
        name: name in `metrics.json`.
    """
    title = statistic(name).title
    return title if title == name else Name(title, name)


def slice_title(by: str) -> str:
    """Return what divides items into slices.

    Args:
        by: column, or name of a property.
    """
    return SLICES.get(by, by)


def slice_value(by: str, value: str) -> str:
    """Return the value of a slice as text; the agreement of annotators is in percent.

    Args:
        by: what divides the items.
        value: the value.

    Examples:
        >>> slice_value("annotator_agreement", "0.667"), slice_value("prompt_tokens", "13")
        ('66.7 %', '13')
    """
    if by != "annotator_agreement":
        return value
    return re.sub(r"\d*\.?\d+", lambda number: percent(float(number[0])), value)


def length_statistic(name: str, kind: str) -> Statistic:
    """Return what a statistic about lengths is for one kind of annotations.

    Args:
        name: name of the statistic.
        kind: kind of the annotations.
    """
    found = LENGTH[name]
    if kind == "comparisons" or name != "correlation":
        return found
    return Statistic(found.title.removesuffix(", within pairs"))
