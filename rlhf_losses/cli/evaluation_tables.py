"""Tables of evaluations, suites and comparisons."""

import math
from collections.abc import Iterable, Mapping, Sequence

from rlhf_losses.cli.tables import make_table, render_table
from rlhf_losses.evaluation.calibration import Calibration
from rlhf_losses.evaluation.edit_effects import EditEffects
from rlhf_losses.evaluation.intervals import Estimate
from rlhf_losses.evaluation.length_dependence import LengthDependence
from rlhf_losses.evaluation.paired_comparison import PairedComparison
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.scored_data import DroppedRows
from rlhf_losses.evaluation.slices import Slice
from rlhf_losses.evaluation.suites import SuiteResult
from rlhf_losses.messages.percentages import percent


def format_evaluation(evaluation: Evaluation) -> str:
    """Return an evaluation as text: the metrics, and one table for each other part."""
    agreements = evaluation.agreements
    blocks = [
        ("", format_metrics(evaluation, evaluation.intervals)),
        ("", evaluation.note_on_ratings),
        *(("", one.note_on_ceiling) for one in agreements),
        ("left out", format_counts(evaluation.dropped, evaluation.ties)),
        *((f"slices of {one.kind}", format_slices(one.slices)) for one in agreements),
        *(
            (f"calibration of {one.kind}", format_calibration(one.calibration))
            for one in agreements
            if one.calibration is not None
        ),
        *((f"length, for {one.kind}", format_length(one.length)) for one in agreements if one.length is not None),
        ("best of n", format_best_of_n(evaluation)),
        ("spread", format_spread(evaluation)),
        ("edits that keep the content", "" if evaluation.edits is None else format_edits(evaluation.edits)),
    ]
    return "\n".join(f"── {title} ──\n{text}" if title else text for title, text in blocks if text)


def format_metrics(metrics: Mapping[str, float], intervals: Mapping[str, Estimate]) -> str:
    """Return the metrics as a table with their 95 % intervals.

    Examples:
        >>> print(format_metrics({"rows": 8, "accuracy": 0.75}, {"accuracy": Estimate(0.75, 0.5, 0.9, 8)}))
        rows           8
        accuracy  0.7500  0.5000 to 0.9000
    """
    rows = [
        [name, f"{value:z.4f}" if isinstance(value, float) else str(value), format_interval(intervals.get(name))]
        for name, value in metrics.items()
    ]
    return render_table(make_table(rows, right=[1]))


def format_interval(estimate: Estimate | None) -> str:
    """Return the interval of an estimate, or an empty text if it is unknown."""
    if estimate is None or math.isnan(estimate.low):
        return ""
    return f"{estimate.low:z.4f} to {estimate.high:z.4f}"


def format_counts(dropped: DroppedRows, ties: int) -> str:
    """Return the number of rows that are not part of the metrics, or an empty text if there are none."""
    reasons = {
        "the converter found no feedback": dropped.not_converted,
        "no feedback": dropped.without_feedback,
        "too long": dropped.too_long,
    }
    lines = [f"dropped: {count} of {dropped.given} rows ({name})" for name, count in reasons.items() if count]
    lines += [f"ties of the annotators: {ties} comparisons without an accuracy"] if ties else []
    return "\n".join(lines)


def format_slices(slices: Iterable[Slice]) -> str:
    """Return slices as a table, or an empty text without slices."""
    rows = [[one.by, one.value, str(one.items), *_cells(one.estimate), *_further(one.metrics)] for one in slices]
    return _table(
        rows,
        ["BY", "VALUE", "ITEMS", "METRIC", "95 % INTERVAL", "BASE RATE", "AUC", "LONGER IS BETTER"],
        right=[2, 3, 5, 6, 7],
    )


def format_calibration(calibration: Calibration) -> str:
    """Return the reliability diagram as a table."""
    rows = [
        [
            f"{one.low:z.2f} to {one.high:z.2f}",
            str(one.observed.count),
            f"{one.probability:z.4f}",
            *_cells(one.observed),
        ]
        for one in calibration.bins
    ]
    temperature = f"{calibration.temperature:.3g}" if math.isfinite(calibration.temperature) else "infinite"
    is_worse = calibration.calibration_error_at_temperature > calibration.calibration_error
    note = " (larger: it makes the annotations most likely, and does not minimize this error)" if is_worse else ""
    header = ["PROBABILITY", "ITEMS", "MEAN", "TRUE", "95 % INTERVAL"]
    return (
        f"{_table(rows, header, right=[1, 2, 3])}\n"
        f"best temperature {temperature}, with which the calibration error is "
        f"{calibration.calibration_error_at_temperature:z.4f}{note}\n"
        f"calibration error of a calibrated model, by chance: up to "
        f"{calibration.error_by_chance:z.4f} (95 % of samples)"
    )


def format_length(length: LengthDependence) -> str:
    """Return the dependence on the length as a table."""
    estimates = {
        "correlation with the length of the answer": length.correlation,
        "the same without what the annotations explain": length.partial_correlation,
        "longer answer is better (tokens)": length.longer_is_better,
        "accuracy where the longer one is better": length.accuracy_longer_better,
        "accuracy where the shorter one is better": length.accuracy_shorter_better,
    }
    rows = [[name, *_cells(one)] for name, one in estimates.items() if one is not None and one.count]
    return _table(rows, ["OF", "VALUE", "95 % INTERVAL"], right=[1])


def format_best_of_n(evaluation: Evaluation) -> str:
    """Return the curve over n as a table, or an empty text without lists."""
    rows = [
        [str(one.n), *_cells(one.quality), f"{one.oracle:z.4f}", f"{one.chance:z.4f}", f"{one.best_chosen.value:z.4f}"]
        for one in evaluation.best_of_n
    ]
    header = ["BEST OF", "QUALITY", "95 % INTERVAL", "ORACLE", "CHANCE", "BEST CHOSEN"]
    return _table(rows, header, right=[0, 1, 3, 4, 5])


def format_spread(evaluation: Evaluation) -> str:
    """Return the spread within prompts in one sentence, or an empty text if it is unknown."""
    spread = evaluation.spread
    if spread is None:
        return ""
    return (
        f"scores within a prompt: standard deviation {spread.within:z.4f}, {percent(spread.share_within)} of the "
        f"variance; all equal in {percent(spread.equal)} of {spread.prompts} prompts"
    )


def format_edits(edits: EditEffects) -> str:
    """Return the effects of edits as a table."""
    rows = [
        [
            one.edit,
            str(one.answers),
            f"{one.change.value:+z.4f}",
            format_interval(one.change),
            *_shares(one.raised, one.flipped),
        ]
        for one in edits.edits
        if one.answers
    ]
    unchanged = ", ".join(f"{one.edit} {one.same_tokens}" for one in edits.edits if one.same_tokens)
    lost = f"left out, because the tokenizer gives the same tokens: {unchanged}\n" if unchanged else ""
    header = ["EDIT", "ANSWERS", "CHANGE / STD", "95 % INTERVAL", "RAISED", "FLIPPED"]
    same = (
        ""
        if not edits.same_by_order.count
        else f", same better answer in {percent(edits.same_by_order.value)} of the pairs"
    )
    return (
        f"{_table(rows, header, right=[1, 2, 4, 5])}\n"
        "RAISED is the share of the edited answers whose score rises; a score that does not change counts half\n"
        "FLIPPED is the share of the right pairs that become wrong once the worse answer is edited\n"
        f"{lost}"
        f"other order of the answers: largest change of a score {edits.largest_change_by_order:.2g}{same}"
    )


def format_suite(result: SuiteResult) -> str:
    """Return the numbers of a suite as a table."""
    rows = [[one.name, str(one.items), f"{one.value:z.4f}"] for one in result.scores]
    if not math.isnan(result.overall):
        rows.append(["overall", "", f"{result.overall:z.4f}"])
    missing = f"\nnot in the data: {', '.join(result.missing)}" if result.missing else ""
    return _table(rows, [result.suite.upper(), "ROWS", "VALUE"], right=[1, 2]) + missing


def format_comparisons(names: Sequence[str], comparisons: Sequence[Sequence[PairedComparison]]) -> str:
    """Return the comparisons of evaluations with the first one, as a table for each metric.

    Args:
        names: names of the evaluations.
        comparisons: comparisons of each other evaluation with the first one.
    """
    metrics = dict.fromkeys(one.metric for found in comparisons for one in found)
    tables = [
        _format_comparison(
            names[0],
            {name: one for name, found in zip(names[1:], comparisons, strict=True) for one in found
             if one.metric == metric},
        )
        for metric in metrics
    ]  # fmt: skip
    lost = max(one.only_in_one for found in comparisons for one in found)
    note = f"\nup to {lost} rows are in one of two evaluations only and are left out" if lost else ""
    across = f"\n{ACROSS_PROMPTS}" if {"accuracy", "spearman"} <= metrics.keys() else ""
    return "\n\n".join(tables) + across + note


ACROSS_PROMPTS = (
    "accuracy compares the answers to one prompt; spearman, those to all prompts, whose scores are comparable unless "
    "the loss of the training sees only differences within a prompt"
)
"""What the two metrics of ratings compare."""


def _format_comparison(first: str, others: Mapping[str, PairedComparison]) -> str:
    reference = next(iter(others.values()))
    rows = [[first, str(reference.rows), str(reference.first.count), *_cells(reference.first), "", "", "", "", ""]]
    for name, one in others.items():
        counts = ["" if count is None else str(count) for count in (one.only_first_right, one.only_second_right)]
        p_value = "" if one.p_value is None else f"{one.p_value:.3g}"
        difference = [f"{one.difference.value:+z.4f}", one.note_on_equality or format_interval(one.difference)]
        rows.append([name, str(one.rows), str(one.second.count), *_cells(one.second), *difference, *counts, p_value])
    header = [
        *("EVALUATION", "ROWS", "ITEMS", reference.metric.upper(), "95 % INTERVAL", "DIFFERENCE", "95 % INTERVAL"),
        *("ONLY FIRST RIGHT", "ONLY THIS RIGHT", "P (MCNEMAR)"),
    ]
    return _table(rows, header, right=[1, 2, 3, 5, 7, 8, 9])


def _cells(estimate: Estimate) -> list[str]:
    return ["-" if math.isnan(estimate.value) else f"{estimate.value:z.4f}", format_interval(estimate)]


def _shares(*estimates: Estimate) -> list[str]:
    return ["-" if math.isnan(one.value) else percent(one.value) for one in estimates]


def _further(metrics: Mapping[str, float]) -> list[str]:
    return [f"{metrics[name]:z.4f}" if name in metrics else "" for name in ("base_rate", "auc", "longer_is_better")]


def _table(rows: Sequence[Sequence[str]], header: Sequence[str], right: Sequence[int]) -> str:
    """Return a table without its empty columns, or an empty text without rows."""
    used = [index for index in range(len(header)) if any(row[index] for row in rows)]
    if not used:
        return ""
    cells = [[row[index] for index in used] for row in rows]
    aligned = [position for position, index in enumerate(used) if index in right]
    return render_table(make_table(cells, header=[header[index] for index in used], right=aligned))
