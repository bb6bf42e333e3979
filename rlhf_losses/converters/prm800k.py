"""PRM800K: solutions of mathematical problems with a human rating of every step."""

from collections.abc import Iterator
from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.judged_steps import PROBLEM_SEPARATOR
from rlhf_losses.feedback.base import Row

STEP_SEPARATOR = "\n"

Step = tuple[str, int | None]
"""Text and rating of a step: −1 wrong, 0 neutral, 1 right, `None` without a rating."""


class Prm800k(DatasetConverter):
    """PRM800K solutions as `Steps`, and each alternative to a step as an answer with one step.

    A step is wrong if its rating is −1; a neutral step counts as right, and so does a step that a labeller wrote. The
    prompt of an alternative is the problem followed by the steps before it, so each label occurs once.
    """

    columns = (("question", "label"),)
    source = "https://github.com/openai/prm800k"

    def matches(self, row: Row) -> bool:
        question, label = row.get("question"), row.get("label")
        return isinstance(question, dict) and "problem" in question and isinstance(label, dict) and "steps" in label

    def convert(self, row: Row) -> list[Row]:
        before = prompt = row["question"]["problem"] + PROBLEM_SEPARATOR
        solution: list[Row] = []
        alternatives: list[Row] = []
        rated_steps: list[Step] = []
        for step in row["label"]["steps"]:
            candidates = _candidates(step)
            if not candidates:
                break
            taken, *others = candidates
            alternatives += [_answer(before, [other]) for other in others if other[1] is not None]
            before += taken[0] + STEP_SEPARATOR
            if taken[1] is not None:
                rated_steps.append(taken)
                continue
            solution += [_answer(prompt, rated_steps)] if rated_steps else []
            prompt, rated_steps = before, []
        return [*solution, *([_answer(prompt, rated_steps)] if rated_steps else []), *alternatives]


def _candidates(step: dict[str, Any]) -> list[Step]:
    """Return the step of the solution, followed by its alternatives; an empty list if the solution ends here."""
    rated = list(_rated(step["completions"] or []))
    chosen, human = step["chosen_completion"], step["human_completion"]
    if chosen is None and human is not None:
        return [(human["text"] if isinstance(human, dict) else human, 1), *rated]
    # A solution that ends with an error has no chosen step; the first completion is then the step of the solution.
    chosen = chosen or 0
    return [rated[chosen], *rated[:chosen], *rated[chosen + 1 :]] if rated else []


def _rated(completions: list[dict[str, Any]]) -> Iterator[Step]:
    for completion in completions:
        yield completion["text"], completion["rating"]


def _answer(prompt: str, steps: list[Step]) -> Row:
    return {
        "prompt": prompt,
        "completions": [text for text, _ in steps],
        "labels": [rating != -1 for _, rating in steps],
    }
