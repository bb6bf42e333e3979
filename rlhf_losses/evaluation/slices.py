"""Slices: the metrics of the items with one value of a column, or with a margin, length or agreement in one range."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from rlhf_losses.errors import InvalidArgumentError, did_you_mean, shown
from rlhf_losses.evaluation.annotated_agreement import agreement_of_pairs
from rlhf_losses.evaluation.intervals import BoolVector, Estimate, FloatVector
from rlhf_losses.evaluation.items import ComparedPairs, Items
from rlhf_losses.evaluation.scored_data import ScoredData
from rlhf_losses.feedback.source_rows import SOURCE_ITEM, SOURCE_ROW
from rlhf_losses.messages.setting_names import setting

MAX_VALUES = 200
"""Largest number of values of a column that is not numeric."""

MAX_SEPARATE_NUMBERS = 8
"""Largest number of distinct numbers that are slices of their own; more are divided at their quartiles."""

RATIOS = (0.0, 0.5, 0.8, 1.25, 2.0, np.inf)
"""Limits of the slices by length ratio."""


@dataclass(frozen=True)
class Slice:
    """Items with a common property.

    Attributes:
        by: column, or `margin`, `length_ratio`, `prompt_tokens` or `annotator_agreement`.
        value: value of the column, or range of numbers.
        items: number of items.
        metric: name of the metric.
        estimate: the metric with its interval.
        metrics: all metrics of the items; of pairs also `longer_is_better`, the accuracy of a model that prefers the
            longer answer.
    """

    by: str
    value: str
    items: int
    metric: str
    estimate: Estimate
    metrics: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "by": self.by,
            "value": self.value,
            "items": self.items,
            "metric": self.metric,
            "estimate": self.estimate.to_dict(),
            "metrics": dict(self.metrics),
        }


def require_slice_columns(columns: Sequence[str], by: Iterable[str], converted: Iterable[str] = ()) -> None:
    """Raise `InvalidArgumentError` unless a dataset has some columns.

    Args:
        columns: columns of the dataset, before it was converted.
        by: columns to slice by.
        converted: columns after the conversion, which may be named too.
    """
    names = [name for name in columns if name not in (SOURCE_ROW, SOURCE_ITEM)]
    known = {*names, *converted}
    for name in by:
        if name not in known:
            raise InvalidArgumentError(
                f"{setting('by', name)} is no column of the data, which have {', '.join(names)}."
                f"{did_you_mean(name, names)} Name one of these."
            )


def require_slice_values(name: str, values: Sequence[Any]) -> None:
    """Raise `InvalidArgumentError` unless the values of a column can divide rows into slices.

    Args:
        name: name of the column.
        values: its values.

    Examples:
        >>> require_slice_values("subset", ["math", "code", None])
    """
    wrong = next((one for one in values if not isinstance(one, str | bool | int | float | None)), None)
    if wrong is not None:
        raise InvalidArgumentError(
            f"{setting('by', name)} is a column with {shown(wrong)}, which is neither a text nor a number, so it "
            "has no slices. Name a column of texts, numbers or truth values."
        )
    texts = {one for one in values if isinstance(one, str)}
    if len(texts) > MAX_VALUES:
        raise InvalidArgumentError(
            f"{setting('by', name)} is a column with {len(texts)} different texts, and each would be a slice of few "
            f"rows. Name a column with at most {MAX_VALUES} values."
        )


def slices_of(data: ScoredData, items: Items) -> list[Slice]:
    """Return the slices of items by the columns of the dataset, and of pairs by their other properties.

    Properties with one value have no slices.

    Args:
        data: the scored dataset.
        items: items of one kind.
    """
    groups: list[tuple[str, list[tuple[str, BoolVector]]]] = [
        (name, _of_values([data.columns[name][row] for row in items.row.tolist()]))
        for name in data.by
        if _has_one_value(data, items, name)
    ]
    if isinstance(items, ComparedPairs):
        lengths = data.answer_tokens[items.better] / np.maximum(data.answer_tokens[items.worse], 1)
        groups.append(("margin", _of_numbers(items.margin)))
        groups.append(("length_ratio", _of_ranges(lengths, RATIOS)))
        groups.append(("annotator_agreement", _of_numbers(agreement_of_pairs(data, items))))
    groups.append(("prompt_tokens", _of_numbers(data.prompt_tokens[items.position].astype(float))))
    return [
        _slice(data, by, value, items.select(mask)) for by, masks in groups if len(masks) > 1 for value, mask in masks
    ]


def _has_one_value(data: ScoredData, items: Items, column: str) -> bool:
    """Return whether each item has one value of a column, also if it compares answers of different rows."""
    if not isinstance(items, ComparedPairs):
        return True
    values, others = data.columns[column], data.texts.row[items.worse].tolist()
    return all(values[row] == values[other] for row, other in zip(items.row.tolist(), others, strict=True))


def _slice(data: ScoredData, by: str, value: str, items: Items) -> Slice:
    further = _longer_is_better(data, items) if isinstance(items, ComparedPairs) else {}
    return Slice(by, value, len(items), items.main, items.estimate(), {**items.metrics(), **further})


def _longer_is_better(data: ScoredData, pairs: ComparedPairs) -> dict[str, float]:
    """Return the accuracy of a model that prefers the longer answer; equal lengths count 0.5."""
    longer = data.answer_tokens[pairs.better] - data.answer_tokens[pairs.worse]
    return {"longer_is_better": float((1 + np.sign(longer)).mean() / 2)} if len(pairs) else {}


def _of_values(values: Sequence[Any]) -> list[tuple[str, BoolVector]]:
    """Return a mask for each value, or for each range if there are many different numbers."""
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) == sum(one is not None for one in values) and len(set(numbers)) > MAX_SEPARATE_NUMBERS:
        return _of_numbers(np.array([np.nan if one is None else one for one in values], dtype=float))
    shown_values = np.array(["null" if one is None else str(one) for one in values])
    distinct, index = np.unique(shown_values, return_inverse=True)
    order, starts = np.argsort(index, kind="stable"), np.searchsorted(np.sort(index), np.arange(len(distinct) + 1))
    return [
        (str(value), np.sort(order[start:end]))
        for value, start, end in zip(distinct, starts[:-1], starts[1:], strict=True)
    ]


def _of_numbers(values: FloatVector) -> list[tuple[str, BoolVector]]:
    """Return a mask for each of a few numbers, or for each quarter of many; NaN is in none."""
    known = values[~np.isnan(values)]
    distinct = np.unique(known)
    if len(distinct) <= MAX_SEPARATE_NUMBERS:
        return [(name, values == value) for name, value in zip(_names(distinct), distinct, strict=True)]
    edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1], method="inverted_cdf"))
    return _of_ranges(values, (-np.inf, *edges[1:-1], np.inf))


def _of_ranges(values: FloatVector, edges: Sequence[float]) -> list[tuple[str, BoolVector]]:
    """Return a mask for each range from one edge up to the next one; empty ranges are left out.

    Examples:
        >>> [name for name, _ in _of_ranges(np.array([1.0, 3.0, 9.0]), (0.0, 2.0, 5.0, np.inf))]
        ['0 to 2', '2 to 5', 'above 5']
    """
    found = []
    names = _names(edges)
    for (low, high), (low_name, high_name) in zip(pairwise(edges), pairwise(names), strict=True):
        mask = (values > low) & (values <= high) if np.isfinite(high) else values > low
        name = (
            f"up to {high_name}"
            if not np.isfinite(low)
            else f"above {low_name}"
            if np.isinf(high)
            else f"{low_name} to {high_name}"
        )
        if mask.any():
            found.append((name, mask))
    return found


def _names(numbers: Iterable[float]) -> list[str]:
    """Return numbers as text, with three decimals, or with six digits if they would be equal.

    Examples:
        >>> _names([2 / 3, 1.0, 2025.0]), _names([0.0001, 0.0002])
        (['0.667', '1', '2025'], ['0.0001', '0.0002'])
    """
    given = list(numbers)
    short = [np.format_float_positional(one, precision=3, trim="-") for one in given]
    return short if len(set(short)) == len(short) else [f"{one:g}" for one in given]
