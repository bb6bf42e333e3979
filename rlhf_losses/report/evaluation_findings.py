"""Findings about an evaluation."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rlhf_losses.evaluation.items import ComparedPairs, RatedItems
from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.evaluation.result import AT_CHANCE, DROPPED_ROWS, NOT_COMPARABLE
from rlhf_losses.messages.percentages import percent, percent_range
from rlhf_losses.report.evaluation_charts import compared_scores
from rlhf_losses.report.evaluation_titles import slice_title, slice_value, statistic
from rlhf_losses.report.findings import Finding, about, consequence, good, note, problem
from rlhf_losses.report.page import format_cell
from rlhf_losses.report.run_files import Run
from rlhf_losses.report.run_findings import HELD_OUT, OVERFIT_GAP, held_out_accuracy

LARGE_CALIBRATION_ERROR = 0.1
CLEAR_TEMPERATURE = 1.25
"""Best temperature from which a model counts as too certain; its inverse as too uncertain."""

LOW_CEILING = 0.9
"""Largest possible accuracy below which the annotators contradict each other often."""

MANY_EQUAL = 0.05
"""Share of pairs with equal scores from which there is a finding."""

STRONG_EDIT = 0.2
"""Change of the score by an edit, in standard deviations, from which there is a finding."""

SMALL_SLICE = 10
"""Number of items below which a slice is not mentioned."""

LENGTH_WARNING = "Length bias"
"""Beginning of the warning about scores that follow the length."""


def evaluation_findings(evaluation: EvaluationFolder) -> Iterator[Finding]:
    """Yield what the numbers of an evaluation mean.

    Args:
        evaluation: the evaluation.
    """
    metrics = evaluation.metrics
    yield from _warnings(evaluation)
    for agreement in metrics.get("agreements", []):
        yield from _accuracy(agreement, metrics)
        yield from _length(agreement, metrics)
        yield from _calibration(agreement, metrics)
        yield from _ceiling(agreement)
        yield from (note(text) for text in _weakest_slices(agreement, metrics))
    yield from _equal_scores(evaluation)
    yield from _edits(metrics)


def differing_accuracies(run: Run, evaluation: EvaluationFolder) -> Iterator[Finding]:
    """Yield why the accuracy during a training and that of an evaluation differ, if they do.

    Args:
        run: a run.
        evaluation: an evaluation of its model.
    """
    during = held_out_accuracy(run)
    for agreement in evaluation.metrics.get("agreements", []):
        accuracy = agreement["estimates"].get("accuracy")
        if during is None or accuracy is None or accuracy["low"] is None:
            continue
        outside = not accuracy["low"] <= during <= accuracy["high"]
        if outside and abs(during - accuracy["value"]) >= OVERFIT_GAP:
            text = (
                f"Two held-out accuracies: {percent(during)} {HELD_OUT}, and {percent(accuracy['value'])} (95 % "
                f"interval {interval(accuracy)}) in the evaluation '{evaluation.name}'. If the model is the same, the "
                "two sets differ in their prompts or annotations: one can have errors, or a bias that the training set "
                "shares. Look at the rows of both that are ranked wrongly."
            )
            yield from about(f"run {run.name}", [note(text)])


def _warnings(evaluation: EvaluationFolder) -> Iterator[Finding]:
    """Yield the warnings of an evaluation; a length bias has its accuracies, and is a note at chance."""
    metrics = evaluation.metrics
    for text in metrics.get("warnings", []):
        if text.startswith(LENGTH_WARNING):
            sides = " ".join([text, *(_sides(one) for one in metrics["agreements"])])
            yield note(_small_scores(evaluation, text)) if _at_chance(metrics) else problem(sides.strip())
        elif text.startswith(DROPPED_ROWS):
            yield consequence(text)  # after the problems of the model
        elif not (text.startswith(AT_CHANCE) and _is_worse(metrics)):
            yield problem(text)


def _small_scores(evaluation: EvaluationFolder, warning: str) -> str:
    """Return a warning about the length of a model that is at chance."""
    better, worse = compared_scores(evaluation.rows)
    size = f" The scores of a pair differ by {np.median(abs(better - worse)):.2g} in the median." if len(better) else ""
    follows = warning.removeprefix(LENGTH_WARNING).lstrip(": ")
    return f"At chance, a length bias matters little, but the small differences of the scores have one: {follows}{size}"


def _at_chance(metrics: Mapping[str, Any]) -> bool:
    return not _is_worse(metrics) and any(text.startswith(AT_CHANCE) for text in metrics.get("warnings", []))


def _sides(agreement: Mapping[str, Any]) -> str:
    """Return the accuracies where the longer and where the shorter answer is better, and the weakest such slice."""
    length = agreement["length"] or {}
    sides = length.get("accuracy_longer_better"), length.get("accuracy_shorter_better")
    if not all(one and one["count"] for one in sides):
        return ""
    longer, shorter = (f"{percent(one['value'])} of {one['count']} pairs" for one in sides if one)
    text = f"Where the longer answer is better, the model is right in {longer}; where the shorter one is, in {shorter}."
    lowest = _weakest_slice(agreement, "accuracy")
    if lowest is not None and lowest["by"] == LENGTH_SLICES:
        share = percent(lowest["estimate"]["value"])
        text += f" It is right in {share} of the {lowest['items']} pairs whose better answer has {lowest['value']} "
        text += "times the length of the worse one."
    return text


LENGTH_SLICES = "length_ratio"
"""Slices by the length of the better answer over that of the worse one."""


def _base(agreement: Mapping[str, Any], metrics: Mapping[str, Any]) -> float | None:
    """Return the accuracy of guessing, or of the more frequent label."""
    return 0.5 if agreement["kind"] == ComparedPairs.kind else metrics.get("base_rate")


def _is_worse(metrics: Mapping[str, Any]) -> bool:
    """Return whether an accuracy is clearly below that of guessing, which is more than at chance."""
    for agreement in metrics.get("agreements", []):
        is_rated = agreement["kind"] == RatedItems.kind
        accuracy = agreement["estimates"].get(RatedItems.main if is_rated else "accuracy")
        base = 0.0 if is_rated else _base(agreement, metrics)
        known = accuracy is not None and accuracy["high"] is not None and base is not None
        if known and accuracy["high"] < base and _is_comparable(agreement, metrics):
            return True
    return False


def _accuracy(agreement: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield how often the model is right; an accuracy at chance has a warning of its own."""
    if agreement["kind"] == RatedItems.kind:
        yield from _correlation(agreement, metrics)
    accuracy = agreement["estimates"].get("accuracy")
    is_pairs = agreement["kind"] == ComparedPairs.kind
    base = _base(agreement, metrics)
    if accuracy is None or accuracy["low"] is None or base is None:
        return
    items = f"{agreement['items']} {'pairs' if is_pairs else agreement['kind']}"
    right = f"{percent(accuracy['value'])} of {items} are right (95 % interval {interval(accuracy)})"
    guess = "guessing" if is_pairs else "the more frequent label"
    if accuracy["high"] < base:
        yield problem(f"Worse than {guess}: {right}; {guess} has {percent(base)}. Are the labels exchanged?")
    elif accuracy["low"] > base:
        ceiling = agreement["accuracy_ceiling"]
        limit = "" if ceiling in (None, 1) else f" No model can exceed {percent(ceiling)} on all of them."
        yield good(f"Better than {guess}: {right}; {guess} has {percent(base)}.{limit}")


def _correlation(agreement: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield whether the scores follow the ratings; a correlation at chance has a warning of its own."""
    found = agreement["estimates"][RatedItems.main]
    if found["low"] is None:
        return
    text = (
        f"The rank correlation of scores and {agreement['items']} ratings is {found['value']:z.2f} (95 % interval "
        f"{found['low']:z.2f} to {found['high']:z.2f})."
    )
    has_comparisons = any(one["kind"] == ComparedPairs.kind for one in metrics["agreements"])
    if not _is_comparable(agreement, metrics):
        yield note(f"Across prompts: {text} {NOT_COMPARABLE} The accuracy is about the answers to one prompt.")
        return
    text += " It is about the answers to all prompts, the accuracy about those to one." if has_comparisons else ""
    if found["low"] > 0:
        yield good(text)
    elif found["high"] < 0:
        yield problem(f"Worse than a constant: {text} Are the ratings reversed?")


def _is_comparable(agreement: Mapping[str, Any], metrics: Mapping[str, Any]) -> bool:
    """Return false for ratings if the training saw only differences, and there are comparisons, too."""
    kinds = {one["kind"] for one in metrics["agreements"]}
    judged = agreement["kind"] == RatedItems.kind and ComparedPairs.kind in kinds
    return not (judged and metrics.get("trained_on_differences"))


def _length(agreement: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what a rule that prefers the longer answer would have, where it has as much as the model."""
    length, accuracy = agreement["length"], agreement["estimates"].get("accuracy")
    longer = None if length is None else length["longer_is_better"]
    if longer is None or longer["value"] is None or accuracy is None or accuracy["value"] is None:
        return
    rule = max(longer["value"], 1 - longer["value"])
    name = "longer" if longer["value"] >= 0.5 else "shorter"
    bounds = accuracy["low"], accuracy["high"]
    if None not in bounds and bounds[0] <= rule and rule > 0.6 and not _at_chance(metrics):
        yield problem(
            f"No better than length: a rule that prefers the {name} answer, in tokens, is right in {percent(rule)} of "
            f"the pairs, the model in {percent(accuracy['value'])} (95 % interval {interval(accuracy)})."
        )


def _calibration(agreement: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[Finding]:
    found = agreement["calibration"]
    if found is None or found["calibration_error"] < max(LARGE_CALIBRATION_ERROR, found.get("error_by_chance", 0.0)):
        return
    temperature = found["temperature"]
    error = f"the calibration error is {found['calibration_error']:z.2f}"
    if _at_chance(metrics):
        yield note(f"Too certain: {error}, as follows from an accuracy at chance.")
        return
    if temperature is None:
        yield consequence(f"Too certain: {error}, and the size of a score difference says nothing about its truth.")
        return
    divided = (
        f"{error}; dividing differences of scores by {temperature:.2g}, in the program that turns them into "
        f"probabilities, gives {found['calibration_error_at_temperature']:z.2f}"
    )
    surest = found["bins"][-1]
    if temperature >= CLEAR_TEMPERATURE:
        yield consequence(
            f"Too certain: {divided}. Of the pairs that the model is most certain of (probability "
            f"{percent(surest['probability'])}), {percent(surest['observed']['value'])} are right."
        )
    elif temperature <= 1 / CLEAR_TEMPERATURE:
        yield note(f"Too uncertain: {divided}.")
    else:
        yield note(f"Not calibrated: {divided}.")


def _ceiling(agreement: Mapping[str, Any]) -> Iterator[Finding]:
    ceiling, accuracy = agreement["accuracy_ceiling"], agreement["estimates"].get("accuracy")
    if ceiling is None:
        return
    if accuracy is not None and accuracy["low"] is not None and accuracy["low"] > ceiling:
        yield problem(
            f"Above the ceiling: the accuracy of {percent(accuracy['value'])} is above the {percent(ceiling)} that a "
            "scorer can have on these annotations. Look for rows that are in the training data too."
        )
    if ceiling < LOW_CEILING:
        yield problem(
            f"Contradictory annotations: no model can be right in more than {percent(ceiling)} of all rows, because "
            "the same pair of answers is judged in both ways, or its two answers are equal, which is half right."
        )


def _weakest_slices(agreement: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield the weakest slice of each metric, as far as a length bias does not name it."""
    if _at_chance(metrics):
        return  # with a model that ranks nothing, a slice below chance is no news
    biased = any(text.startswith(LENGTH_WARNING) for text in metrics.get("warnings", []))
    for metric, whole in agreement["estimates"].items():
        lowest = _weakest_slice(agreement, metric)
        if lowest is not None and not (biased and metric == "accuracy" and lowest["by"] == LENGTH_SLICES):
            of, estimate = statistic(metric), lowest["estimate"]
            value, in_all = (format_cell(of.cell(one["value"])) for one in (estimate, whole))
            part = f"{slice_title(lowest['by'])} = {slice_value(lowest['by'], lowest['value'])}"
            yield (
                f"Weakest slice: the {of.title} is {value} (95 % interval {of.interval(estimate)}) in "
                f"{lowest['items']} items with {part}, and {in_all} in all."
            )


def _weakest_slice(agreement: Mapping[str, Any], metric: str) -> Mapping[str, Any] | None:
    """Return the slice with the lowest value of a metric, if its interval is below that of all items."""
    whole = agreement["estimates"].get(metric)
    if whole is None or whole["low"] is None:
        return None
    weak: list[Mapping[str, Any]] = [
        one
        for one in agreement["slices"]
        if one["by"] != "annotator_agreement"  # where annotators differ, every model is right less often
        and one["metric"] == metric
        and one["items"] >= SMALL_SLICE
        and one["estimate"]["high"] is not None
        and one["estimate"]["high"] < whole["low"]
    ]
    return min(weak, key=lambda one: one["estimate"]["value"], default=None)


def _equal_scores(evaluation: EvaluationFolder) -> Iterator[Finding]:
    """Yield how many pairs have equal texts, which have equal scores, and how many others have equal scores."""
    pairs = [
        (outcome == 0.5, row.answers[better] is not None and row.answers[better] == row.answers[worse])
        for row in evaluation.rows
        for better, worse, outcome in zip(row.better, row.worse, row.outcomes, strict=False)
    ]
    equal = pairs.count((True, True))
    same_score = pairs.count((True, False))
    if equal > MANY_EQUAL * len(pairs):
        yield problem(
            f"Equal answers: the two texts are the same in {equal} of {len(pairs)} pairs. Their scores are equal, and "
            "the accuracy counts them as half right. Leave them out."
        )
    if same_score > MANY_EQUAL * len(pairs):
        yield problem(
            f"Equal scores: two different answers have the same score in {same_score} of {len(pairs)} pairs. They can "
            "be cut off before they differ, or the end token can be masked as padding."
        )


def _edits(metrics: Mapping[str, Any]) -> Iterator[Finding]:
    for one in (metrics.get("edits") or {}).get("edits", []):
        change = one["change"]
        sure = change["low"] is not None and change["low"] * change["high"] > 0
        if sure and abs(change["value"]) >= STRONG_EDIT:
            verb = "raises" if change["value"] > 0 else "lowers"
            yield problem(
                f"Form: the edit '{one['edit']}' {verb} the score by {abs(change['value']):z.2f} standard deviations "
                f"(95 % interval {change['low']:+z.2f} to {change['high']:+z.2f}), although the content is the same."
            )


def interval(estimate: Mapping[str, Any]) -> str:
    """Return the interval of a share in percent."""
    return percent_range(estimate["low"], estimate["high"])
