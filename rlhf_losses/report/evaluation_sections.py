"""Sections of a report about evaluations."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.evaluation.paired_comparison import compare_evaluations
from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.report.completions import text_of
from rlhf_losses.report.evaluation_charts import (
    best_of_n,
    calibrations,
    difference_histogram,
    edit_chart,
    reliability,
    score_by_length,
    score_histogram,
    slice_charts,
    slices_by,
)
from rlhf_losses.report.page import Cell, LongText, Section, Table

WORST = 20
"""Number of pairs that are shown."""


def evaluation_sections(evaluations: Sequence[EvaluationFolder]) -> Iterator[Section]:
    """Yield the sections of evaluations side by side.

    Args:
        evaluations: the evaluations.
    """
    yield Section("Evaluations", [metrics_table(evaluations), *comparison_tables(evaluations),
                                  *suite_tables(evaluations)])  # fmt: skip
    histograms = [[*score_histogram(one), *difference_histogram(one)] for one in evaluations]
    yield Section("Scores", [chart for charts in histograms for chart in charts])
    yield Section("Calibration", [*reliability(evaluations), *calibration_tables(evaluations)])
    yield Section("Slices", [*slice_charts(evaluations), *slice_tables(evaluations)])
    yield Section("Length", [*(chart for one in evaluations for chart in score_by_length(one)),
                             *length_tables(evaluations)])  # fmt: skip
    yield Section("Best of n", best_of_n(evaluations))
    yield Section("Edits", [*edit_chart(evaluations), *edit_tables(evaluations)])


def text_sections(evaluations: Sequence[EvaluationFolder]) -> Iterator[Section]:
    """Yield the sections with texts of evaluations.

    Args:
        evaluations: the evaluations.
    """
    for one in evaluations:
        yield worst_pairs(one)
        yield contradictions(one)


def metrics_table(evaluations: Sequence[EvaluationFolder]) -> Table:
    """Return the metrics of all evaluations, with their intervals.

    Args:
        evaluations: the evaluations.
    """
    columns = [_metrics(one) for one in evaluations]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows: list[list[Cell]] = [[name, *(cell for column in columns for cell in column.get(name, (None, "")))]
                              for name in names]  # fmt: skip
    header = ["metric"]
    for one in evaluations:
        header += [f"{one.name} ({one.metrics.get('model', 'model unknown')})", "95 % interval"]
    return Table("Metrics", header, rows)


def _metrics(evaluation: EvaluationFolder) -> dict[str, tuple[Cell, str]]:
    """Return the numbers at the top level, with the intervals of the first kind of annotations that has them."""
    metrics = evaluation.metrics
    intervals: dict[str, Mapping[str, Any]] = {}
    for agreement in reversed(metrics.get("agreements", [])):
        intervals |= agreement["estimates"]
    found: dict[str, tuple[Cell, str]] = {
        name: (value, _interval(intervals.get(name, {})))
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    dropped = metrics.get("dropped", {}).get("total")
    return {**found, "rows": (len(evaluation.rows), ""), "dropped rows": (dropped, "")}


def _interval(estimate: Mapping[str, Any]) -> str:
    return "" if estimate.get("low") is None else f"[{estimate['low']:.4f}, {estimate['high']:.4f}]"


def comparison_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the comparison of each evaluation with the first one, as far as they have rows in common.

    Args:
        evaluations: the evaluations.
    """
    rows: list[list[Cell]] = []
    for one in evaluations[1:]:
        try:
            found = compare_evaluations(evaluations[0], one)
        except FeedbackMismatchError:
            continue
        rows.append([one.name, found.metric, found.rows, found.first.value, found.second.value,
                     found.difference.value, _interval(found.difference.to_dict()), found.p_value])  # fmt: skip
    first = evaluations[0].name
    header = ("evaluation", "metric", "common rows", f"value of {first}", "value", "difference", "95 % interval",
              "p (McNemar)")  # fmt: skip
    return [Table(f"Compared with {first} on the same rows", header, rows)] if rows else []


def suite_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the scores of each public suite.

    Args:
        evaluations: the evaluations; those of a dataset have no suite.
    """
    by_suite: dict[str, list[EvaluationFolder]] = defaultdict(list)
    for one in evaluations:
        if "suite" in one.metrics:
            by_suite[one.metrics["suite"]].append(one)
    tables = []
    for suite, found in by_suite.items():
        names = dict.fromkeys(name for one in found for name in one.metrics["scores"])
        rows = [[name, *(one.metrics["scores"].get(name, {}).get("value") for one in found)] for name in names]
        tables.append(Table(f"Scores of {suite}", ["score", *(one.name for one in found)], rows))
    return tables


def calibration_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the numbers of the calibration of all evaluations.

    Args:
        evaluations: the evaluations.
    """
    rows: list[list[Cell]] = [
        [name, found["calibration_error"], found["brier"], found["temperature"],
         found["calibration_error_at_temperature"]]
        for _, name, found in calibrations(evaluations)
    ]  # fmt: skip
    header = ("evaluation", "calibration error", "Brier score", "best temperature", "calibration error with it")
    return [Table("Calibration", header, rows)] if rows else []


def slice_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the slices of all evaluations.

    Args:
        evaluations: the evaluations.
    """
    rows: list[list[Cell]] = []
    for slices in slices_by(evaluations).values():
        for index, one in slices:
            estimate = one["estimate"]
            rows.append([evaluations[index].name, one["by"], one["value"], one["metric"], estimate["value"],
                         _interval(estimate), one["items"]])  # fmt: skip
    header = ("evaluation", "by", "value", "metric", "estimate", "95 % interval", "items")
    return [Table("Slices", header, rows)] if rows else []


LENGTH = {
    "correlation": "correlation with the length",
    "partial_correlation": "the same without the part that the annotations explain",
    "longer_is_better": "share of pairs in which the longer answer is better",
    "accuracy_longer_better": "accuracy where the longer answer is better",
    "accuracy_shorter_better": "accuracy where the shorter answer is better",
}
"""Titles of the statistics about lengths."""


def length_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the dependence of the scores of all evaluations on the length.

    Args:
        evaluations: the evaluations.
    """
    rows: list[list[Cell]] = []
    for one in evaluations:
        for agreement in one.metrics.get("agreements", []):
            for name, title in LENGTH.items():
                estimate = (agreement["length"] or {}).get(name)
                if estimate is not None and estimate["value"] is not None:
                    rows.append([one.name, agreement["kind"], title, estimate["value"], _interval(estimate)])
    return [Table("Length", ("evaluation", "of", "statistic", "value", "95 % interval"), rows)] if rows else []


def edit_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the effects of edits in all evaluations.

    Args:
        evaluations: the evaluations.
    """
    rows: list[list[Cell]] = []
    for one in evaluations:
        for each in (one.metrics.get("edits") or {}).get("edits", []):
            change, raised, flipped = each["change"], each["raised"]["value"], each["flipped"]["value"]
            rows.append([one.name, each["edit"], each["answers"], change["value"], _interval(change), raised, flipped])
    header = ("evaluation", "edit", "answers", "change / standard deviation", "95 % interval", "share raised",
              "share of right pairs that become wrong")  # fmt: skip
    return [Table("Effects of edits", header, rows)] if rows else []


def worst_pairs(evaluation: EvaluationFolder) -> Section:
    """Return the pairs that the model ranks wrong with the largest differences of the scores.

    Args:
        evaluation: the evaluation.
    """
    found = [(row.scores[i] - row.scores[j], row, i, j)
             for row in evaluation.rows for i, j in zip(row.better, row.worse, strict=True)]  # fmt: skip
    wrong = sorted((one for one in found if one[0] < 0), key=lambda one: one[0])
    rows: list[list[Cell]] = [
        [row.row, difference, row.scores[i], row.scores[j], LongText(text_of(row.prompt)), _answer(row, i),
         _answer(row, j)]
        for difference, row, i, j in wrong[:WORST]
    ]  # fmt: skip
    header = ("row", "difference", "score of better", "score of worse", "prompt", "better answer", "worse answer")
    text = f"{len(wrong)} of {len(found)} pairs are ranked wrong, {len(wrong) / max(len(found), 1):.1%}."
    text += f" The {len(rows)} with the largest differences are shown." if len(rows) < len(wrong) else ""
    parts = [Table(f"Worst-ranked pairs: {evaluation.name}", header, rows)] if rows else []
    return Section(f"Worst-ranked pairs: {evaluation.name}", parts, [text] if found else [])


def contradictions(evaluation: EvaluationFolder) -> Section:
    """Return pairs of rows that judge the same two answers in opposite ways.

    Args:
        evaluation: the evaluation.
    """
    seen: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row in evaluation.rows:
        for i, j in zip(row.better, row.worse, strict=True):
            if row.answers[i] is not None and row.answers[j] is not None:
                seen[text_of(row.prompt), text_of(row.answers[i]), text_of(row.answers[j])].append(row.row)
    rows: list[list[Cell]] = [
        [_numbers(numbers), _numbers(seen[prompt, worse, better]), *map(LongText, (prompt, better, worse))]
        for (prompt, better, worse), numbers in seen.items()
        if better < worse and (prompt, worse, better) in seen
    ]
    header = ("rows that prefer A", "rows that prefer B", "prompt", "answer A", "answer B")
    compared = len({(prompt, *sorted((better, worse))) for prompt, better, worse in seen})
    text = f"{len(rows)} of {compared} pairs of answers are judged in both ways; {WORST} at most are shown."
    parts = [Table(f"Contradictory rows: {evaluation.name}", header, rows[:WORST])] if rows else []
    return Section(f"Contradictory rows: {evaluation.name}", parts, [text] if rows else [])


def _numbers(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows))


def _answer(row: ScoredRow, index: int) -> LongText:
    text = row.answers[index] if index < len(row.answers) else None
    return LongText("(token ids)" if text is None else text_of(text))
