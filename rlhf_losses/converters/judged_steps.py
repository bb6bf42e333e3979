"""Helpers for solutions in steps: the prompt, and the labels that follow from the first wrong step."""

from typing import Any

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

PROBLEM_SEPARATOR = "\n\n"
"""Text between a problem and the first step of its solution."""


def judged_steps(problem: str | None, steps: list[str], first_wrong: int | None) -> Row:
    """Return a solution up to its first wrong step, with one label per step.

    The steps after the first wrong one are left out, because they have no label.

    Args:
        problem: the problem.
        steps: all steps of the solution.
        first_wrong: index of the first wrong step, from 0; `None` if all steps are right.

    Raises:
        InvalidFeedbackError: the problem is missing, or the solution has no such step.

    Examples:
        >>> judged_steps("2 + 2?", ["2 + 2", " = 5", ", so 5"], 1)
        {'prompt': '2 + 2?\\n\\n', 'completions': ['2 + 2', ' = 5'], 'labels': [True, False]}
    """
    if first_wrong is None:
        return labelled_steps(problem, steps, [True] * len(steps))
    if not 0 <= first_wrong < len(steps):
        raise InvalidFeedbackError(
            f"The index of the first wrong step is {first_wrong}, but the solution has {len(steps)} steps, counted "
            "from 0. Fix or drop the row."
        )
    return labelled_steps(problem, steps[: first_wrong + 1], [True] * first_wrong + [False])


def labelled_steps(problem: str | None, steps: list[str], labels: list[bool]) -> Row:
    """Return the row of a solution with one label per step; right steps without text are left out.

    A step without text has no token to score. A wrong one cannot be left out: the solution would then be right.

    Args:
        problem: the problem.
        steps: steps of the solution.
        labels: whether each step is right.

    Raises:
        InvalidFeedbackError: the problem or a step is missing, or a wrong step has no text.

    Examples:
        >>> labelled_steps("2 + 2?", ["2 + 2", "", " = 4"], [True, True, True])["completions"]
        ['2 + 2', ' = 4']
    """
    if problem is None or None in steps or not any(map(str.strip, steps)):
        missing = "problem" if problem is None else "text of a step" if None in steps else "solution"
        raise InvalidFeedbackError(f"The {missing} is missing, so the labels belong to no text. Fix or drop the row.")
    numbered = list(enumerate(zip(steps, labels, strict=True)))
    lost = [index for index, (step, label) in numbered if not label and not step.strip()]
    if lost:
        raise InvalidFeedbackError(
            f"Step {lost[0]}, counted from 0, is wrong and its text is {steps[lost[0]]!r}. A step without text cannot "
            "be scored, and without it the solution would be right. Write the text of the step, or drop the row."
        )
    judged = [(step, label) for _, (step, label) in numbered if step.strip()]
    return {
        "prompt": problem + PROBLEM_SEPARATOR,
        "completions": [step for step, _ in judged],
        "labels": [label for _, label in judged],
    }


def unlabelled_steps(problem: str | None, steps: list[str]) -> Row:
    """Return the row of a solution whose steps have no labels.

    Args:
        problem: the problem.
        steps: steps of the solution.

    Raises:
        InvalidFeedbackError: the problem or a step is missing.

    Examples:
        >>> unlabelled_steps("2 + 2?", ["2 + 2", " = 4"])
        {'prompt': '2 + 2?\\n\\n', 'completions': ['2 + 2', ' = 4'], 'labels': [None, None]}
    """
    row = labelled_steps(problem, steps, [True] * len(steps))
    return {**row, "labels": [None] * len(row["completions"])}


def read_index(column: str, value: Any) -> int | None:
    """Return the index of a step, or `None` if it is null. A table with nulls may have it as a float.

    Args:
        column: name of the column, for the message.
        value: its value.

    Raises:
        InvalidFeedbackError: the value is no integer.

    Examples:
        >>> read_index("label", 2), read_index("label", 2.0), read_index("label", float("nan"))
        (2, 2, None)
    """
    if value is None or value != value:  # NaN, which differs from itself
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise InvalidFeedbackError(
            f"Column '{column}' is {value!r}, but it must be the index of a step. Fix or drop the row."
        )
    return int(value)
