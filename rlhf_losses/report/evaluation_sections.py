"""Sections of a report about evaluations."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from rlhf_losses.evaluation.intervals import FloatVector
from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.report.completions import text_of
from rlhf_losses.report.page import Cell, Chart, LongText, Section, Table, Trace
from rlhf_losses.report.run_sections import COLORS

HISTOGRAM_BINS = 40
MAX_SCATTER = 2000
"""Number of answers above which score and length are shown for every second one, every third and so on."""
LABEL = 24
"""Largest number of characters of a label of an axis; the table has the whole value."""
WORST = 20
"""Number of pairs that are shown."""


def evaluation_sections(evaluations: Sequence[EvaluationFolder]) -> Iterator[Section]:
    """Yield the sections of evaluations side by side.

    Args:
        evaluations: the evaluations.
    """
    warnings = [f"{one.name}: {text}" for one in evaluations for text in one.metrics.get("warnings", [])]
    yield Section("Evaluations", [metrics_table(evaluations), *suite_tables(evaluations)], warnings=warnings)
    yield Section("Scores", [chart for one in evaluations for chart in score_histogram(one)])
    yield Section("Calibration", reliability(evaluations))
    yield Section("Slices", [*slice_charts(evaluations), *slice_tables(evaluations)])
    yield Section("Length", [chart for one in evaluations for chart in score_by_length(one)])
    yield Section("Best of n", best_of_n(evaluations))
    for one in evaluations:
        yield worst_pairs(one)
        yield contradictions(one)


def metrics_table(evaluations: Sequence[EvaluationFolder]) -> Table:
    """Return the metrics of all evaluations, with their intervals.

    Args:
        evaluations: the evaluations.
    """
    columns = [_metrics(one.metrics) for one in evaluations]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows: list[list[Cell]] = [[name, *(column.get(name) for column in columns)] for name in names]
    rows.append(["rows", *(len(one.rows) for one in evaluations)])
    rows.append(["dropped rows", *(one.metrics.get("dropped", {}).get("total") for one in evaluations)])
    header = ["metric", *(f"{one.name} ({one.metrics.get('model', 'model unknown')})" for one in evaluations)]
    return Table("Metrics with 95 % intervals", header, rows)


def _metrics(metrics: Mapping[str, Any]) -> dict[str, Cell]:
    """Return the numbers at the top level, with the intervals of the first kind of annotations that has them."""
    intervals: dict[str, Mapping[str, Any]] = {}
    for agreement in reversed(metrics.get("agreements", [])):
        intervals |= agreement["estimates"]
    found: dict[str, Cell] = {}
    for name, value in metrics.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            interval = _interval(intervals.get(name, {}))
            found[name] = f"{value:.4f} {interval}" if interval else value
    return found


def _interval(estimate: Mapping[str, Any]) -> str:
    return "" if estimate.get("low") is None else f"[{estimate['low']:.4f}, {estimate['high']:.4f}]"


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


def compared_scores(rows: Sequence[ScoredRow]) -> tuple[FloatVector, FloatVector]:
    """Return the scores of the better and of the worse answers of all comparisons.

    Args:
        rows: the scored rows.
    """
    pairs = [(row.scores[i], row.scores[j]) for row in rows for i, j in zip(row.better, row.worse, strict=True)]
    found = np.array(pairs, dtype=float).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def score_histogram(evaluation: EvaluationFolder) -> list[Chart]:
    """Return histograms of the scores of better and worse answers and of their differences; of labels by their sign.

    Args:
        evaluation: the evaluation.
    """
    better, worse = compared_scores(evaluation.rows)
    labelled = [
        (row.scores[i], label) for row in evaluation.rows for i, label in zip(row.labelled, row.labels, strict=True)
    ]
    signs = {label for _, label in labelled}
    charts = []
    if len(better):
        charts.append(histogram(f"Scores: {evaluation.name}", {"better answer": better, "worse answer": worse}, "score",
                                "The less the two overlap, the better the model tells them apart."))  # fmt: skip
        difference = {"better − worse": better - worse}
        charts.append(histogram(f"Score differences: {evaluation.name}", difference, "score difference",
                                "Pairs left of 0 are ranked wrong."))  # fmt: skip
    if labelled and signs <= {-1.0, 1.0}:
        groups = {name: np.array([score for score, label in labelled if label == sign])
                  for name, sign in (("positive label", 1.0), ("negative label", -1.0))}  # fmt: skip
        charts.append(histogram(f"Scores by label: {evaluation.name}", groups, "score"))
    elif labelled:
        step = len(labelled) // MAX_SCATTER + 1
        points = labelled[::step]
        trace = {"type": "scatter", "mode": "markers", "marker": {"color": COLORS[0], "opacity": 0.5},
                 "x": [label for _, label in points], "y": [score for score, _ in points]}  # fmt: skip
        charts.append(Chart(f"Scores by rating: {evaluation.name}", [trace], "rating", "score"))
    return charts


def histogram(title: str, groups: Mapping[str, FloatVector], x: str, note: str = "") -> Chart:
    """Return a histogram of several groups with the same bins.

    Args:
        title: title of the chart.
        groups: values by name.
        x: what the values are.
        note: how to read it.
    """
    edges = np.histogram_bin_edges(np.concatenate(list(groups.values())), HISTOGRAM_BINS)
    centres = ((edges[1:] + edges[:-1]) / 2).tolist()
    traces = []
    for index, (name, values) in enumerate(groups.items()):
        counts = np.histogram(values, edges)[0].tolist()
        pattern = {"shape": ["", "/"][index % 2], "solidity": 0.4}
        traces.append({"type": "bar", "name": name, "x": centres, "y": counts, "opacity": 0.6,
                       "marker": {"color": COLORS[index], "pattern": pattern}})  # fmt: skip
    return Chart(title, traces, x, "number", note, {"barmode": "overlay", "bargap": 0, "showlegend": True})


def reliability(evaluations: Sequence[EvaluationFolder]) -> list[Chart | Table]:
    """Return the reliability diagram of all evaluations and its numbers.

    Args:
        evaluations: the evaluations.
    """
    traces: list[Trace] = []
    rows: list[list[Cell]] = []
    for index, one in enumerate(evaluations):
        for agreement in one.metrics.get("agreements", []):
            found = agreement["calibration"]
            if found is None:
                continue
            name = f"{one.name}, {agreement['kind']}"
            bins = found["bins"]
            rows.append([name, found["calibration_error"], found["brier"], found["temperature"],
                         found["calibration_error_at_temperature"]])  # fmt: skip
            traces.append({
                "type": "scatter", "mode": "lines+markers", "name": escape(name, quote=False),
                "x": [each["probability"] for each in bins], "y": [each["observed"]["value"] for each in bins],
                "error_y": _error_bars([each["observed"] for each in bins]),
                "line": {"color": COLORS[index % len(COLORS)]},
            })  # fmt: skip
    if not traces:
        return []
    diagonal = {"type": "scatter", "mode": "lines", "name": "calibrated", "x": [0, 1], "y": [0, 1],
                "line": {"color": "color:muted", "dash": "dash"}}  # fmt: skip
    note = "Below the dashed line the model is too certain, above it too uncertain. Bars are 95 % intervals."
    header = ("evaluation", "calibration error", "Brier score", "best temperature", "calibration error with it")
    chart = Chart("Reliability", [diagonal, *traces], "predicted probability", "observed share", note)
    return [chart, Table("Calibration", header, rows)]


def _error_bars(estimates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the error bars of estimates; those without an interval have none."""
    bars: dict[str, Any] = {"type": "data", "symmetric": False, "thickness": 1}
    bars["array"] = [0 if one["high"] is None else one["high"] - one["value"] for one in estimates]
    bars["arrayminus"] = [0 if one["low"] is None else one["value"] - one["low"] for one in estimates]
    return bars


def _slices(evaluations: Sequence[EvaluationFolder]) -> dict[str, list[tuple[int, Mapping[str, Any]]]]:
    found: dict[str, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    for index, one in enumerate(evaluations):
        for agreement in one.metrics.get("agreements", []):
            for each in agreement["slices"]:
                if each["estimate"]["value"] is not None:
                    found[each["by"]].append((index, each))
    return found


def slice_charts(evaluations: Sequence[EvaluationFolder]) -> Iterator[Chart]:
    """Yield the chart of each kind of slices.

    Args:
        evaluations: the evaluations.
    """
    for by, slices in _slices(evaluations).items():
        traces = []
        for index, one in enumerate(evaluations):
            own = [each for number, each in slices if number == index]
            estimates = [each["estimate"] for each in own]
            traces.append({
                "type": "scatter", "mode": "markers", "name": escape(one.name, quote=False),
                "x": [_label(each["value"]) for each in own], "y": [each["value"] for each in estimates],
                "error_y": _error_bars(estimates), "marker": {"color": COLORS[index % len(COLORS)], "size": 9},
            })  # fmt: skip
        metric = slices[0][1]["metric"]
        layout = {"xaxis": {"type": "category"}, "scattermode": "group"}
        yield Chart(f"By {by}", traces, by, metric, "Bars are 95 % intervals.", layout)


def _label(value: str) -> str:
    """Return the value of a slice as a label of an axis."""
    return escape(value if len(value) <= LABEL else f"{value[: LABEL - 1]}…", quote=False)


def slice_tables(evaluations: Sequence[EvaluationFolder]) -> list[Table]:
    """Return the slices of all evaluations.

    Args:
        evaluations: the evaluations.
    """
    rows: list[list[Cell]] = []
    for slices in _slices(evaluations).values():
        for index, one in slices:
            estimate = one["estimate"]
            rows.append([evaluations[index].name, one["by"], one["value"], one["metric"], estimate["value"],
                         _interval(estimate), one["items"]])  # fmt: skip
    header = ("evaluation", "by", "value", "metric", "estimate", "95 % interval", "items")
    return [Table("Slices", header, rows)] if rows else []


def score_by_length(evaluation: EvaluationFolder) -> list[Chart]:
    """Return the scores against the lengths of the answers.

    Args:
        evaluation: the evaluation.
    """
    points: dict[str, list[tuple[int, float, int]]] = defaultdict(list)
    for row in evaluation.rows:
        better, worse = set(row.better), set(row.worse)
        for index, (tokens, score) in enumerate(zip(row.tokens, row.scores, strict=True)):
            only = (index in better) - (index in worse)
            points[{1: "better answer", -1: "worse answer", 0: "other answer"}[only]].append((tokens, score, row.row))
    step = sum(map(len, points.values())) // MAX_SCATTER + 1
    traces = []
    for index, (name, found) in enumerate(sorted(points.items())):
        kept = found[::step]
        lengths, scores, numbers = (list(column) for column in zip(*kept, strict=True))
        marker = {"color": COLORS[index], "opacity": 0.5, "symbol": ["circle", "x", "square"][index]}
        traces.append({"type": "scatter", "mode": "markers", "name": name, "marker": marker, "x": lengths, "y": scores,
                       "text": [f"row {number}" for number in numbers]})  # fmt: skip
    correlation = evaluation.metrics.get("partial_length_correlation")
    note = "" if correlation is None else f"Correlation at equal annotations: {correlation:.2f}. "
    note += "A model without length bias has one near 0."
    title = f"Score against length: {evaluation.name}"
    return [Chart(title, traces, "tokens of the answer", "score", note)] if traces else []


def best_of_n(evaluations: Sequence[EvaluationFolder]) -> list[Chart]:
    """Return the quality of the best of n answers, if the data have lists.

    Args:
        evaluations: the evaluations.
    """
    traces: list[Trace] = []
    for index, one in enumerate(evaluations):
        points = one.metrics.get("best_of_n", [])
        names = {"model": [p["quality"]["value"] for p in points], "oracle": [p["oracle"] for p in points],
                 "chance": [p["chance"] for p in points]}  # fmt: skip
        for (name, values), dash in zip(names.items(), ("solid", "dash", "dot"), strict=True):
            if points:
                line, x = {"color": COLORS[index % len(COLORS)], "dash": dash}, [p["n"] for p in points]
                traces.append({"type": "scatter", "mode": "lines+markers", "line": line, "x": x, "y": values,
                               "name": escape(f"{one.name}: {name}", quote=False)})  # fmt: skip
    note = "Expected quality of the answer that the model chooses among n; the worst answer has 0, the best one 1."
    return [Chart("Best of n", traces, "n", "quality", note)] if traces else []


def worst_pairs(evaluation: EvaluationFolder) -> Section:
    """Return the pairs that the model ranks wrong with the largest differences of the scores.

    Args:
        evaluation: the evaluation.
    """
    found = [(row.scores[i] - row.scores[j], row, i, j)
             for row in evaluation.rows for i, j in zip(row.better, row.worse, strict=True)]  # fmt: skip
    wrong = sorted((one for one in found if one[0] < 0), key=lambda one: one[0])
    rows: list[list[Cell]] = [
        [
            row.row,
            difference,
            row.scores[i],
            row.scores[j],
            LongText(text_of(row.prompt)),
            _answer(row, i),
            _answer(row, j),
        ]
        for difference, row, i, j in wrong[:WORST]
    ]
    header = ("row", "difference", "score of better", "score of worse", "prompt", "better answer", "worse answer")
    note = (
        f"{len(wrong)} of {len(found)} pairs are ranked wrong; the {len(rows)} with the largest differences are shown."
    )
    parts = [Table("Worst-ranked pairs", header, rows)] if rows else []
    return Section(f"Worst-ranked pairs: {evaluation.name}", parts, [note] if found else [])


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
        [
            ", ".join(map(str, numbers)),
            ", ".join(map(str, seen[prompt, worse, better])),
            *map(LongText, (prompt, better, worse)),
        ]
        for (prompt, better, worse), numbers in seen.items()
        if better < worse and (prompt, worse, better) in seen
    ]
    header = ("rows", "rows of the opposite", "prompt", "answer", "other answer")
    note = f"{len(rows)} pairs of answers are judged in both ways. {WORST} at most are shown."
    parts = [Table("Contradictory rows", header, rows[:WORST])] if rows else []
    return Section(f"Contradictory rows: {evaluation.name}", parts, [note] if rows else [])


def _answer(row: ScoredRow, index: int) -> LongText:
    text = row.answers[index] if index < len(row.answers) else None
    return LongText("(token ids)" if text is None else text_of(text))
