"""Evaluation on a public suite: its files as they are published, and the aggregation of its authors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from datasets import Dataset

from rlhf_losses.data.conversion import convert_rows
from rlhf_losses.data.row_lengths import Overlong
from rlhf_losses.errors import FeedbackMismatchError, UnknownNameError, did_you_mean
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.evaluation.suites import SUITES, Suite, SuiteResult
from rlhf_losses.evaluation.suites.base import ORDER, PART
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.source_rows import SOURCE_ITEM, SOURCE_ROW
from rlhf_losses.files.dataset_argument import require_dataset
from rlhf_losses.hooks import converter_registry
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.scoring.evaluation import evaluate
from rlhf_losses.scoring.scorer import Scorer, require_scorer


@dataclass(frozen=True)
class SuiteEvaluation:
    """The result of a scorer on a suite.

    Attributes:
        result: the numbers of the suite.
        parts: the evaluation of each file.
        rows: the scored rows of all files; the columns `part` and `order` have the file and the order of the answers.
    """

    result: SuiteResult
    parts: Mapping[str, Evaluation]
    rows: tuple[ScoredRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {**self.result.to_dict(), "parts": {name: one.to_dict() for name, one in self.parts.items()}}


def find_suite(name: str) -> Suite:
    """Return a suite by name.

    Args:
        name: name of the suite, for example `"rewardbench"`.

    Raises:
        UnknownNameError: there is no such suite.
    """
    if name not in SUITES:
        raise UnknownNameError(
            f"Unknown suite {name!r}.{did_you_mean(str(name), SUITES)} Choose one of: {', '.join(SUITES)}."
        )
    return SUITES[name]


def evaluate_suite(
    scorer: Scorer, suite: str, datasets: Mapping[str, Dataset], overlong: Overlong | None = None
) -> SuiteEvaluation:
    """Return the numbers of a suite for a scorer.

    Args:
        scorer: the reward model.
        suite: name of the suite.
        datasets: the files of the suite as they are published, by a name, from which suites of several files recognize
            their subsets.
        overlong: treatment of rows that do not fit, see `evaluate`.

    Raises:
        UnknownNameError: there is no such suite.
        FeedbackMismatchError: a file has not the format of the suite.
        InvalidFeedbackError: a row is invalid, or has no value in a column that the suite needs.
    """
    chosen = find_suite(suite)
    require_scorer(scorer)
    converted = {part: _converted(chosen, rows, part) for part, rows in datasets.items()}
    parts, scored = {}, []
    for part, (rows, not_converted) in converted.items():
        for order, ordered in enumerate(_orders(chosen, rows), 1):
            found = evaluate(scorer, ordered, overlong=overlong)
            if order == 1:
                parts[part] = replace(found, dropped=found.dropped.with_unconverted(not_converted))
            scored += [replace(row, columns={**row.columns, PART: part, ORDER: order}) for row in found.rows]
    return SuiteEvaluation(chosen.aggregate(scored), parts, tuple(scored))


def _converted(suite: Suite, rows: Dataset, part: str) -> tuple[Dataset, int]:
    """Return converted rows with the columns that the aggregation needs, and the number of rows without feedback."""
    require_dataset(rows)
    registry, first = converter_registry(), rows[0] if len(rows) else {}
    converter = next((name for name in suite.converters if registry.lookup(name)().matches(first)), None)
    if converter is None:
        raise FeedbackMismatchError(
            f"'{part}' has the columns {', '.join(rows.column_names)}, which are not those of {suite.name}. Use the "
            f"file as it is published at {suite.dataset}, or evaluate it without {setting('suite', suite.name)}."
        )
    conversion = convert_rows(rows, converter, part, with_source=True, keep=suite.columns)
    converted = conversion.rows
    if SOURCE_ROW not in converted.column_names:
        converted = converted.add_column(SOURCE_ROW, list(range(len(converted))))
        converted = converted.add_column(SOURCE_ITEM, [0] * len(converted))
    return converted, conversion.dropped


def _orders(suite: Suite, rows: Dataset) -> Iterator[Dataset]:
    """Yield the rows, and for suites with both orders the rows with their answers exchanged."""
    yield rows
    if suite.both_orders:
        yield Dataset.from_list([_exchanged(row) for row in rows])


def _exchanged(row: Row) -> Row:
    preference = row.get("preference")
    return {
        **row,
        "chosen": row["rejected"],
        "rejected": row["chosen"],
        "preference": 0.0 if preference is None else 1 - preference,
    }
