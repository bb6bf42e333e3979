"""Charts of evaluations."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlhf_losses.evaluation.intervals import FloatVector
from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.report.charts import Chart, Trace
from rlhf_losses.report.evaluation_titles import slice_title, slice_value, statistic
from rlhf_losses.report.pictures import write_picture

INNER_TAIL = 0.02
"""Share of the values at each end that can be far from the others."""

HISTOGRAM_BINS = 40
MAX_POINTS = 2000
"""Number of answers above which score and length are shown for every second one, every third and so on."""

LARGEST_POINT, SMALLEST_POINT = 16.0, 6.0
"""Diameters of points whose area is a number of items, in pixels."""

LENGTH_BINS = 8
"""Number of ranges of lengths for which the mean score is shown."""

SIDES = {1: "better answer", -1: "worse answer", 0: "other answer"}
"""Names of answers that are always better, always worse, and others."""


def write_evaluation_picture(evaluation: EvaluationFolder, file: Path) -> bool:
    """Draw the histogram of the scores and the reliability diagram of an evaluation, and return whether there are any.

    Args:
        evaluation: the evaluation.
        file: the file, whose ending is the format: `.png` or `.svg`.
    """
    charts = [*score_histogram(evaluation), *reliability([evaluation])]
    if charts:
        write_picture(charts, file)
    return bool(charts)


def compared_scores(rows: Sequence[ScoredRow]) -> tuple[FloatVector, FloatVector]:
    """Return the scores of the better and of the worse answers of all comparisons.

    Args:
        rows: the scored rows.
    """
    pairs = [(row.scores[i], row.scores[j]) for row in rows for i, j in zip(row.better, row.worse, strict=True)]
    found = np.array(pairs, dtype=float).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def score_histogram(evaluation: EvaluationFolder) -> list[Chart]:
    """Return the histogram of the scores of better and worse answers, or by label; of ratings the scores by rating.

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
        groups = {"better answer": better, "worse answer": worse}
        note = "The less the two overlap, the better the model tells them apart."
        charts.append(histogram(f"Scores: {evaluation.name}", groups, "score", note))
    if labelled and signs <= {-1.0, 1.0}:
        groups = {name: np.array([score for score, label in labelled if label == sign])
                  for name, sign in (("positive label", 1.0), ("negative label", -1.0))}  # fmt: skip
        charts.append(histogram(f"Scores by label: {evaluation.name}", groups, "score"))
    elif labelled:
        points = labelled[:: len(labelled) // MAX_POINTS + 1]
        trace = Trace("answer", [label for _, label in points], [score for score, _ in points], "points", opacity=0.5)
        charts.append(Chart(f"Scores by rating: {evaluation.name}", [trace], "rating", "score"))
    return charts


def difference_histogram(evaluation: EvaluationFolder) -> list[Chart]:
    """Return the histogram of the score differences of pairs, right and wrong ones in a color each.

    Args:
        evaluation: the evaluation.
    """
    better, worse = compared_scores(evaluation.rows)
    difference = better - worse
    groups = {"ranked right": difference[difference > 0], "ranked wrong": difference[difference < 0]}
    equal = len(difference) - sum(map(len, groups.values()))
    if equal == len(difference):
        return []
    note = "Pairs left of 0 are ranked wrong. A model of confident mistakes has many far on the left."
    note += f" {equal} pairs with equal scores are left out." if equal else ""
    return [histogram(f"Score differences: {evaluation.name}", groups,
                      "score of the better answer − score of the worse one", note)]  # fmt: skip


def histogram(title: str, groups: Mapping[str, FloatVector], x: str, note: str = "") -> Chart:
    """Return a histogram of several groups with the same bins, of which 0 is a limit if they lie on both sides of it.

    Groups without values are left out. A few values far from all others are counted in the outermost bars, and the note
    says how many.

    Args:
        title: title of the chart.
        groups: values by name.
        x: what the values are.
        note: how to read it.

    Examples:
        >>> chart = histogram("h", {"a": np.array([-1.0, 2.0]), "b": np.array([1.0])}, "score")
        >>> [sum(trace.y) for trace in chart.traces]
        [2, 1]
    """
    low, high = _shown_range(np.concatenate(list(groups.values())))
    outside = sum(int(((one < low) | (one > high)).sum()) for one in groups.values())
    if outside:
        verb = "value is" if outside == 1 else "values are"
        note = f"{note} {outside} {verb} outside of {low:.4g} to {high:.4g}, and in the outermost bars.".strip()
    groups = {name: np.clip(one, low, high) for name, one in groups.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(groups.values())), HISTOGRAM_BINS)
    if edges[0] < 0 < edges[-1]:
        width = edges[1] - edges[0]
        edges = width * np.arange(np.floor(edges[0] / width), np.ceil(edges[-1] / width) + 1)
    centres = ((edges[1:] + edges[:-1]) / 2).tolist()
    traces = [
        Trace(name, centres, np.histogram(one, edges)[0].tolist(), "bars", index, index % 2, opacity=0.6)
        for index, (name, one) in enumerate(groups.items())
        if len(one)
    ]
    return Chart(title, traces, x, "number", note)


def _shown_range(values: FloatVector) -> tuple[float, float]:
    """Return the range of a histogram: all values, without a few that are far from the others.

    Examples:
        >>> _shown_range(np.array([*range(100), 30_000.0]))
        (0.0, 194.0)
    """
    inner_low, inner_high = np.quantile(values, [INNER_TAIL, 1 - INNER_TAIL], method="nearest")
    distance = inner_high - inner_low
    if not distance:
        return float(values.min()), float(values.max())
    return float(max(values.min(), inner_low - distance)), float(min(values.max(), inner_high + distance))


def calibrations(evaluations: Sequence[EvaluationFolder]) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yield the index, the name and the calibration of each evaluation and kind of annotations that has one.

    Args:
        evaluations: the evaluations.
    """
    for index, one in enumerate(evaluations):
        calibrated = [each for each in one.metrics.get("agreements", []) if each["calibration"] is not None]
        for each in calibrated:
            yield index, f"{one.name}, {each['kind']}" if len(calibrated) > 1 else one.name, each["calibration"]


def reliability(evaluations: Sequence[EvaluationFolder]) -> list[Chart]:
    """Return the reliability diagram of all evaluations.

    Args:
        evaluations: the evaluations.
    """
    traces = []
    for index, name, found in calibrations(evaluations):
        observed = [each["observed"] for each in found["bins"]]
        predicted = [each["probability"] for each in found["bins"]]
        counts = np.array([each["count"] for each in observed])
        sizes = (LARGEST_POINT * np.sqrt(counts / counts.max())).clip(SMALLEST_POINT).tolist()
        labels = [f"{count} items" for count in counts]
        traces.append(
            Trace(name, predicted, **_estimates(observed), kind="points", color=index, labels=labels, sizes=sizes)
        )
    if not traces:
        return []
    ends = [min(found["bins"][0]["low"] for _, _, found in calibrations(evaluations)), 1.0]
    diagonal = Trace("calibrated", ends, ends, color=None, style=1)
    note = "Below the dashed line the model is too certain, above it too uncertain. The area of a point is the number "
    note += "of its items; bars are 95 % intervals, which are long where there are few."
    return [Chart("Reliability", [diagonal, *traces], "predicted probability", "observed share", note, percent="xy")]


def _estimates(estimates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of a trace with their intervals."""
    numbers = {"y": "value", "low": "low", "high": "high"}
    return {field: [np.nan if one[name] is None else one[name] for one in estimates] for field, name in numbers.items()}


def slices_by(evaluations: Sequence[EvaluationFolder]) -> dict[str, list[tuple[int, Mapping[str, Any]]]]:
    """Return the slices of all evaluations with the index of the evaluation, by what divides them.

    Args:
        evaluations: the evaluations.
    """
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
    for by, slices in slices_by(evaluations).items():
        traces = []
        for index, one in enumerate(evaluations):
            own = [each for number, each in slices if number == index]
            if own:
                values = [slice_value(by, each["value"]) for each in own]
                estimates = _estimates([each["estimate"] for each in own])
                traces.append(Trace(one.name, values, **estimates, kind="points", color=index))
        metric, title = statistic(slices[0][1]["metric"]), slice_title(by)
        note = "Bars are 95 % intervals."
        yield Chart(f"By {title}", traces, title, metric.title, note, True, "y" if metric.is_share else "")


def score_by_length(evaluation: EvaluationFolder) -> list[Chart]:
    """Return the scores against the lengths of the answers, and the mean score of ranges of lengths.

    Args:
        evaluation: the evaluation.
    """
    points: dict[str, list[tuple[int, float, int]]] = defaultdict(list)
    for row in evaluation.rows:
        better, worse = set(row.better), set(row.worse)
        for index, (tokens, score) in enumerate(zip(row.tokens, row.scores, strict=True)):
            sign = (index in better) - (index in worse)
            points[SIDES[sign]].append((tokens, score, row.row))
    if not points:
        return []
    step = sum(map(len, points.values())) // MAX_POINTS + 1
    traces = []
    for index, name in enumerate(SIDES.values()):
        if not (found := points.get(name)):
            continue
        lengths, scores, numbers = (list(column) for column in zip(*found[::step], strict=True))
        labels = [f"row {number}" for number in numbers]
        traces.append(Trace(name, lengths, scores, "points", index, index, opacity=0.45, labels=labels))
    values = np.array([(tokens, score) for found in points.values() for tokens, score, _ in found], dtype=float)
    traces.append(_mean_by_length(values[:, 0], values[:, 1]))
    correlation = evaluation.metrics.get("partial_length_correlation")
    note = ""
    if correlation is not None:
        note = f"Correlation of score and length without what the annotations explain: {correlation:z.2f}. "
        note += "A model without length bias has one near 0."
    return [Chart(f"Score against length: {evaluation.name}", traces, "tokens of the answer", "score", note)]


def _mean_by_length(lengths: FloatVector, scores: FloatVector) -> Trace:
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, LENGTH_BINS + 1)))
    index = np.clip(np.searchsorted(edges, lengths, side="right") - 1, 0, max(len(edges) - 2, 0))
    counts = np.bincount(index)
    used = counts > 0
    x, y = ((np.bincount(index, weights=one)[used] / counts[used]).tolist() for one in (lengths, scores))
    return Trace("mean of a range of lengths", x, y, color=4, markers=True)


def best_of_n(evaluations: Sequence[EvaluationFolder]) -> list[Chart]:
    """Return the quality of the best of n answers, if the data have lists.

    Args:
        evaluations: the evaluations.
    """
    traces = []
    for index, one in enumerate(evaluations):
        points = one.metrics.get("best_of_n", [])
        values = {"model": [p["quality"]["value"] for p in points], "oracle": [p["oracle"] for p in points],
                  "chance": [p["chance"] for p in points]}  # fmt: skip
        if points:
            n = [p["n"] for p in points]
            traces += [Trace(f"{one.name}: {name}", n, each, color=index, style=style, markers=True)
                       for style, (name, each) in enumerate(values.items())]  # fmt: skip
    note = "Expected quality of the answer that the model chooses among n; the worst answer has 0, the best one 1."
    return [Chart("Best of n", traces, "n", "quality", note)] if traces else []


def edit_chart(evaluations: Sequence[EvaluationFolder]) -> list[Chart]:
    """Return the change of the scores by edits that do not change the content, if they were scored.

    Args:
        evaluations: the evaluations.
    """
    traces = []
    for index, one in enumerate(evaluations):
        edits = [each for each in (one.metrics.get("edits") or {}).get("edits", []) if each["answers"]]
        if edits:
            names = [each["edit"] for each in edits]
            traces.append(
                Trace(one.name, names, **_estimates([e["change"] for e in edits]), kind="points", color=index)
            )
    note = "Mean change of the score, in standard deviations. 0: the form of an answer does not matter."
    return [Chart("Edits that keep the content", traces, "edit", "change of the score", note, True)] if traces else []
