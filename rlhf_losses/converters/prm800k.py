"""PRM800K: solutions of problems in mathematics, of which people rated every step."""

from collections.abc import Iterator
from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.feedback.base import Row

BELOW_PROBLEM, BETWEEN_STEPS = "\n\n", "\n"

Step = tuple[str, int | None]
"""The text of a step and its rating: −1 wrong, 0 neither wrong nor of use, 1 right, nothing if it was not rated."""


class Prm800k(DatasetConverter):
    """Steps of the labelled solution, and every alternative to one of them as an answer of one step.

    A step is wrong if it is rated −1: a neutral one is no mistake. The prompt of an alternative is the problem with
    the steps before it, so that no label is told twice. A step that a labeller wrote is right.
    """

    columns = (("question", "label"),)
    source = "https://github.com/openai/prm800k"

    def recognises(self, row: Row) -> bool:
        question, label = row.get("question"), row.get("label")
        return isinstance(question, dict) and "problem" in question and isinstance(label, dict) and "steps" in label

    def read(self, row: Row) -> list[Row]:
        before = prompt = row["question"]["problem"] + BELOW_PROBLEM
        solution: list[Row] = []
        alternatives: list[Row] = []
        run: list[Step] = []
        for step in row["label"]["steps"]:
            candidates = _candidates(step)
            if not candidates:
                break
            taken, *others = candidates
            alternatives += [_answer(before, [other]) for other in others if other[1] is not None]
            before += taken[0] + BETWEEN_STEPS
            if taken[1] is not None:
                run.append(taken)
                continue
            solution += [_answer(prompt, run)] if run else []
            prompt, run = before, []
        return [*solution, *([_answer(prompt, run)] if run else []), *alternatives]


def _candidates(step: dict[str, Any]) -> list[Step]:
    """Return the step that the solution takes, and then those that it could have taken; nothing where it stops."""
    rated = list(_rated(step["completions"] or []))
    chosen, human = step["chosen_completion"], step["human_completion"]
    if chosen is None and human is not None:
        return [(human["text"] if isinstance(human, dict) else human, 1), *rated]
    # A solution that ends in an error has no chosen step; the first is then the one that it took.
    chosen = chosen or 0
    return [rated[chosen], *rated[:chosen], *rated[chosen + 1 :]] if rated else []


def _rated(completions: list[dict[str, Any]]) -> Iterator[Step]:
    for one in completions:
        yield one["text"], one["rating"]


def _answer(prompt: str, steps: list[Step]) -> Row:
    return {
        "prompt": prompt,
        "completions": [text for text, _ in steps],
        "labels": [rating != -1 for _, rating in steps],
    }
