"""The interface of an evaluation suite, and functions of scored rows that several suites use."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.evaluation.scored_rows import ScoredRow

PART, ORDER = "part", "order"
"""Columns of scored rows: file of the suite, and order of the answers (1 or 2)."""


@dataclass(frozen=True)
class SuiteScore:
    """One number of a suite.

    Attributes:
        name: name of the section or subset.
        value: the number.
        items: number of rows that it is computed from.
    """

    name: str
    value: float
    items: int


@dataclass(frozen=True)
class SuiteResult:
    """The numbers of a suite.

    Attributes:
        suite: name of the suite.
        overall: the number that its authors report for the whole suite; NaN if they report none, or if the files have
            only some sections.
        scores: the numbers of subsets and sections.
        missing: sections that the files do not have.
    """

    suite: str
    overall: float
    scores: tuple[SuiteScore, ...]
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "suite": self.suite,
            "overall": None if math.isnan(self.overall) else self.overall,
            "scores": {one.name: {"value": one.value, "items": one.items} for one in self.scores},
            "missing": list(self.missing),
        }


class Suite(ABC):
    """A public evaluation suite: how its files are read, and how scores are aggregated.

    Attributes:
        name: name for `--suite`.
        paper: URL of the paper.
        source: URL of the repository with the rules of aggregation.
        dataset: id of the dataset on the Hub.
        split: split of the dataset; None for the only one or `test`.
        converters: converters of its files; several for suites with files of different formats.
        columns: columns of the files that the aggregation needs.
        both_orders: whether each pair is scored in both orders.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    source: ClassVar[str]
    dataset: ClassVar[str]
    split: ClassVar[str | None] = None
    converters: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[str, ...]] = ()
    both_orders: ClassVar[bool] = False

    @abstractmethod
    def aggregate(self, rows: Sequence[ScoredRow]) -> SuiteResult:
        """Return the numbers of the suite.

        Args:
            rows: the scored rows; the column `part` has the part of the suite.
        """


def column(row: ScoredRow, name: str) -> Any:
    """Return the value of a column of the original file.

    Raises:
        InvalidFeedbackError: the file has no such column.
    """
    if row.columns.get(name) is None:
        raise InvalidFeedbackError(
            f"Row {row.row} has no value in the column '{name}', which the suite needs to aggregate scores. Use the "
            "file as it is published."
        )
    return row.columns[name]


def groups(rows: Iterable[ScoredRow], key: Callable[[ScoredRow], Any]) -> dict[Any, list[ScoredRow]]:
    """Return rows by key, in the order of their first rows."""
    found: dict[Any, list[ScoredRow]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def named_in(text: str, words: Mapping[str, str]) -> str | None:
    """Return the name whose word occurs last in a text, such as the path of a file, or None if none occurs.

    Args:
        text: the text; case does not matter.
        words: a word for each name.

    Examples:
        >>> named_in("math/gpqa.jsonl", {"math": "math", "gpqa": "gpqa"})
        'gpqa'
    """
    positions = {name: text.lower().rfind(word.lower()) for name, word in words.items()}
    found = max(positions, key=lambda name: positions[name])
    return found if positions[found] >= 0 else None


def is_right(row: ScoredRow) -> bool:
    """Return whether the better answer of the only pair of a row has the strictly higher score."""
    return row.outcomes == (1.0,)


def accuracy(rows: Sequence[ScoredRow]) -> float:
    """Return the share of pairs whose better answer has the strictly higher score; NaN without rows."""
    return float(np.mean([is_right(row) for row in rows])) if rows else math.nan


def mean_of(values: Mapping[str, float], names: Iterable[str]) -> float:
    """Return the mean of some values; NaN if one of them is missing."""
    return float(np.mean([values.get(name, math.nan) for name in names]))
