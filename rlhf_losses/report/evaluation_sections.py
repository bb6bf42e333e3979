"""Sections of a report about evaluations."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_losses.errors import FeedbackMismatchError, counted_from_0
from rlhf_losses.evaluation.annotated_agreement import ceiling_note
from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.evaluation.paired_comparison import compare_evaluations
from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.messages.percentages import percent, percent_range
from rlhf_losses.report.completions import text_cell, text_of, value_cell
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
from rlhf_losses.report.evaluation_titles import (
    LENGTH,
    METRICS,
    Statistic,
    length_statistic,
    metric_name,
    slice_title,
    slice_value,
    statistic,
)
from rlhf_losses.report.page import Cell, LongText, Section, Share, Table

SHARE = Statistic("share", is_share=True)
CHANGE = Statistic("change")

WORST = 20
"""Number of pairs that are shown."""

INTERVALS = (
    "Intervals of shares are those of a sample of prompts, because the items of one prompt depend on each other: many "
    "items of 5 prompts have a wide interval."
)
"""Why some intervals are longer than the number of items would make them."""


UNKNOWN = "unknown"
"""In place of an accuracy ceiling that would be 100 %, because nothing contradicts."""

UNKNOWN_CEILING = "The accuracy ceiling is unknown where no texts were annotated twice."


def evaluation_sections(evaluations: Sequence[EvaluationFolder]) -> Iterator[Section]:
    """Yield the sections of evaluations side by side.

    Args:
        evaluations: the evaluations.
    """
    metrics = metrics_table(evaluations)
    has_shares = any(
        "accuracy" in one["estimates"] for each in evaluations for one in each.metrics.get("agreements", [])
    )
    notes = {INTERVALS: has_shares, UNKNOWN_CEILING: any(UNKNOWN in row for row in metrics.rows)}
    texts = [*(text for text, is_shown in notes.items() if is_shown), *ceiling_notes(evaluations)]
    yield Section("Evaluations", [metrics, *comparison_tables(evaluations), *suite_tables(evaluations)], texts)
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


def ceiling_notes(evaluations: Sequence[EvaluationFolder]) -> list[str]:
    """Return how many annotations the accuracy ceilings rest on, each sentence once.

    Args:
        evaluations: the evaluations; those of earlier versions have no such numbers.
    """
    counts = [
        (agreement["kind"], agreement["annotated_several_times"], agreement["different_items"])
        for one in evaluations
        for agreement in one.metrics.get("agreements", [])
        if agreement.get("annotated_several_times") is not None
    ]
    return [ceiling_note(*of) for of in dict.fromkeys(counts)]


def metrics_table(evaluations: Sequence[EvaluationFolder]) -> Table:
    """Return the metrics of all evaluations, with their intervals.

    Args:
        evaluations: the evaluations.
    """
    columns = [_metrics(one) for one in evaluations]
    order = {name: place for place, name in enumerate(METRICS)}
    names = sorted({name for column in columns for name in column}, key=lambda name: order.get(name, len(order)))
    rows: list[list[Cell]] = [
        [metric_name(name), *(cell for column in columns for cell in column.get(name, (None, "")))] for name in names
    ]
    header = ["metric"]
    for one in evaluations:
        header += [f"{one.name} ({one.metrics.get('model', 'model unknown')})", "95 % interval"]
    return Table("Metrics", header, rows)


def _metrics(evaluation: EvaluationFolder) -> dict[str, tuple[Cell, str]]:
    """Return the numbers at the top level, with the intervals of the first kind of annotations that has them."""
    metrics = evaluation.metrics
    agreements = metrics.get("agreements", [])
    intervals: dict[str, Mapping[str, Any]] = {}
    for agreement in reversed(agreements):
        intervals |= agreement["estimates"]
    intervals |= metrics.get("intervals", {})
    found: dict[str, tuple[Cell, str]] = {
        name: (statistic(name).cell(value), statistic(name).interval(intervals.get(name, {})))
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if "accuracy_ceiling" not in metrics and any("accuracy" in one["estimates"] for one in agreements):
        found["accuracy_ceiling"] = UNKNOWN, ""
    counts = {"rows": len(evaluation.rows), "dropped rows": metrics.get("dropped", {}).get("total")}
    return {**found, **{name: (count, "") for name, count in counts.items() if count is not None}}


def table(
    evaluations: Sequence[EvaluationFolder], caption: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]
) -> list[Table]:
    """Return a table whose first column names the evaluations if there are several, or nothing without rows.

    Args:
        evaluations: the evaluations of the report.
        caption: what the table contains.
        header: names of the further columns.
        rows: the cells of each row, the first of which is the name of the evaluation.
    """
    if len(evaluations) > 1:
        header = ("evaluation", *header)
    else:
        rows = [row[1:] for row in rows]
    return [Table(caption, header, rows)] if rows else []


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
        for each in found:
            of = statistic(each.metric)
            difference, interval = of.difference(each.difference.to_dict())
            rows.append([one.name, of.title, each.rows, each.second.count, of.cell(each.first.value),
                         of.cell(each.second.value), difference, each.note_on_equality or interval,
                         each.p_value])  # fmt: skip
    first = evaluations[0].name
    values = ("items", f"value of {first}", "value", "difference", "95 % interval", "p (McNemar)")
    header = ("evaluation", "metric", "common rows", *values)
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
        rows = [[name, *(SHARE.cell(one.metrics["scores"].get(name, {}).get("value")) for one in found)]
                for name in names]  # fmt: skip
        tables.append(Table(f"Scores of {suite}", ["score", *(one.name for one in found)], rows))
    return tables


def calibration_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the numbers of the calibration of all evaluations.

    Args:
        evaluations: the evaluations.
    """
    found = list(calibrations(evaluations))
    rows: list[list[Cell]] = [
        [name, one["calibration_error"], one.get("error_by_chance"), one["brier"],
         "infinite" if one["temperature"] is None else one["temperature"], one["calibration_error_at_temperature"]]
        for _, name, one in found
    ]  # fmt: skip
    bins: list[list[Cell]] = [
        [name, percent_range(each["low"], each["high"]), each["observed"]["count"], Share(each["probability"]),
         Share(each["observed"]["value"]), SHARE.interval(each["observed"])]
        for _, name, one in found for each in one["bins"]
    ]  # fmt: skip
    header = (
        "calibration error",
        "of a calibrated model, up to (95 %)",
        "Brier score",
        "best temperature",
        "calibration error with it",
    )
    of_bins = ("predicted probability", "items", "mean of the probability", "observed share", "95 % interval")
    return [*table(evaluations, "Calibration", header, rows),
            *table(evaluations, "Points of the reliability diagram", of_bins, bins)]  # fmt: skip


def slice_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the slices of all evaluations.

    Args:
        evaluations: the evaluations.
    """
    rows: list[list[Cell]] = []
    for slices in slices_by(evaluations).values():
        for index, one in slices:
            estimate, of = one["estimate"], statistic(one["metric"])
            rows.append([evaluations[index].name, slice_title(one["by"]), slice_value(one["by"], one["value"]),
                         of.cell(estimate["value"]), of.interval(estimate), one["items"], of.title])  # fmt: skip
    return table(evaluations, "Slices", ("by", "value", "estimate", "95 % interval", "items", "metric"), rows)


def length_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the dependence of the scores of all evaluations on the length.

    Args:
        evaluations: the evaluations.
    """
    rows: list[list[Cell]] = []
    for one in evaluations:
        for agreement in one.metrics.get("agreements", []):
            for name in LENGTH:
                estimate, of = (agreement["length"] or {}).get(name), length_statistic(name, agreement["kind"])
                if estimate is not None and estimate["value"] is not None:
                    rows.append([one.name, of.title, of.cell(estimate["value"]), of.interval(estimate),
                                 f"{estimate['count']} {agreement['kind']}"])  # fmt: skip
    return table(evaluations, "Length", ("statistic", "value", "95 % interval", "of"), rows)


def edit_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the effects of edits in all evaluations.

    Args:
        evaluations: the evaluations.
    """
    rows: list[list[Cell]] = []
    for one in evaluations:
        for each in (one.metrics.get("edits") or {}).get("edits", []):
            change, shares = each["change"], (SHARE.cell(each[name]["value"]) for name in ("raised", "flipped"))
            cells = CHANGE.cell(change["value"]), CHANGE.interval(change)
            rows.append([one.name, each["edit"], each["answers"], each.get("same_tokens", 0), *cells, *shares])
    header = ("edit", "answers", "left out (same tokens)", "change / standard deviation", "95 % interval",
              "scores raised (unchanged: half)", "right pairs that become wrong")  # fmt: skip
    return table(evaluations, "Effects of edits", header, rows)


def worst_pairs(evaluation: EvaluationFolder) -> Section:
    """Return the pairs that the model ranks wrong with the largest differences of the scores.

    Args:
        evaluation: the evaluation.
    """
    names = named_columns(evaluation)
    found = [(row.scores[i] - row.scores[j], row, i, j)
             for row in evaluation.rows for i, j in zip(row.better, row.worse, strict=True)]  # fmt: skip
    wrong = sorted((one for one in found if one[0] < 0), key=lambda one: one[0])
    rows: list[list[Cell]] = [
        [row.row, text_cell(row.prompt), _answer(row, i), _answer(row, j), difference, row.scores[i],
         row.scores[j], *(value_cell(row.columns.get(name)) for name in names)]
        for difference, row, i, j in wrong[:WORST]
    ]  # fmt: skip
    header = ("row", "prompt", "better answer", "worse answer", "difference", "score of better", "score of worse",
              *names)  # fmt: skip
    text = f"{len(wrong)} of {len(found)} pairs are ranked wrong, {percent(len(wrong) / max(len(found), 1))}."
    text += f" The {len(rows)} with the largest differences are shown." if len(rows) < len(wrong) else ""
    if not rows:
        return Section(f"Worst-ranked pairs: {evaluation.name}", [], [text] if found else [])
    table = Table(f"Worst-ranked pairs: {evaluation.name}", header, rows)
    return Section(table.caption, [table], [f"{text} {counted_from_0(wrong[0][1].row)}"])


def contradictions(evaluation: EvaluationFolder) -> Section:
    """Return pairs of rows that judge the same two answers in opposite ways.

    Args:
        evaluation: the evaluation.
    """
    seen: dict[tuple[str, str, str], list[ScoredRow]] = defaultdict(list)
    for row in evaluation.rows:
        for i, j in zip(row.better, row.worse, strict=True):
            if row.answers[i] is not None and row.answers[j] is not None:
                seen[text_of(row.prompt), text_of(row.answers[i]), text_of(row.answers[j])].append(row)
    both = [key for key in seen if key[1] < key[2] and (key[0], key[2], key[1]) in seen]
    title, names = f"Contradictory rows: {evaluation.name}", named_columns(evaluation)
    if not both:
        return Section(title, [])
    rows: list[list[Cell]] = [
        [_rows(seen[prompt, better, worse], names), _rows(seen[prompt, worse, better], names),
         *map(LongText, (prompt, better, worse))]
        for prompt, better, worse in both[:WORST]
    ]  # fmt: skip
    header = ("rows that prefer A", "rows that prefer B", "prompt", "answer A", "answer B")
    compared = len({(prompt, *sorted((better, worse))) for prompt, better, worse in seen})
    text = f"{len(both)} of {compared} different pairs of answers are judged in both ways."
    text += f" The first {WORST} are shown." if len(both) > WORST else ""
    return Section(title, [Table(title, header, rows)], [f"{text} {counted_from_0(seen[both[0]][0].row)}"])


def named_columns(evaluation: EvaluationFolder) -> Sequence[str]:
    """Return the columns that `--by` and `--keep` named, which the tables of rows show.

    Args:
        evaluation: the evaluation; one of an earlier version or of Python names none.
    """
    names: Sequence[str] = evaluation.metrics.get("columns", ())
    return names


def _rows(rows: Sequence[ScoredRow], names: Sequence[str]) -> str:
    """Return the numbers of rows, each with the values of its named columns."""
    values = [", ".join(f"{name} {text_of(row.columns.get(name))}" for name in names) for row in rows]
    return ", ".join(f"{row.row} ({of})" if of else str(row.row) for row, of in zip(rows, values, strict=True))


def _answer(row: ScoredRow, index: int) -> LongText:
    text = row.answers[index] if index < len(row.answers) else None
    return LongText("(token ids)" if text is None else text_of(text))
