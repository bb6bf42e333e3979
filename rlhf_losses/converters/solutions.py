"""Solutions of problems, of which a verifier says whether they are right."""

from itertools import product
from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

PROBLEMS = ("problem", "question", "prompt", "instruction")

ANSWERS = ("generations", "generated_solution", "generated_solutions", "responses", "response", "solutions", "solution")
"""Columns of the judged answers, best first: `solution` is the reference where there is another one."""

VERDICTS = ("is_correct", "correctness_math_verify")

SECOND_VERDICTS = "correctness_llama"
"""Verdicts of a language model on answers that the verifier could not read."""

VERDICT_WORDS = {"true": True, "false": False, "correct": True, "incorrect": False, "1": True, "0": False}


class Solutions(DatasetConverter):
    """Solutions with a verdict as `Labels`: one solution per row, or a list of solutions with a list of verdicts.

    This is the format of OpenMathInstruct (`generated_solution`, `is_correct`) and OpenR1-Math (`generations`,
    `correctness_math_verify`); there, an answer is also right if `correctness_llama` says so. If a row has several
    columns of answers, the generated one is judged, and `solution` is the reference. A solution with a null verdict has
    no feedback.
    """

    columns = tuple(product(PROBLEMS, ANSWERS, VERDICTS))
    source = "https://huggingface.co/datasets/open-r1/OpenR1-Math-220k"

    def matches(self, row: Row) -> bool:
        if not super().matches(row):
            return False
        _, answers, verdicts = _values(row)
        return isinstance(answers, list | str) and isinstance(answers, list) == isinstance(verdicts, list)

    def convert(self, row: Row) -> list[Row]:
        problem, answers, verdicts = _values(row)
        if not isinstance(answers, list):
            answers, verdicts = [answers], [verdicts]
        labels = [_is_right(verdict) for verdict in verdicts or [None] * len(answers)]
        if len(labels) != len(answers):
            raise InvalidFeedbackError(
                f"The row has {len(answers)} solutions and {len(labels)} verdicts, but each solution needs one. Fix or "
                "drop the row."
            )
        prompt = as_messages("user", problem)
        return [
            {"prompt": prompt, "completion": as_messages("assistant", answer), "label": label}
            for answer, label in zip(answers, labels, strict=True)
            if label is not None
        ]


def _values(row: Row) -> tuple[Any, Any, Any]:
    """Return the problem, the answers and the verdicts of a row."""
    problem, answers, verdicts = (row[_first_column(row, names)] for names in (PROBLEMS, ANSWERS, VERDICTS))
    second = row.get(SECOND_VERDICTS)
    if isinstance(verdicts, list) and isinstance(second, list):
        verdicts = [_either(*both) for both in zip(verdicts, second, strict=True)]
    return problem, answers, second if verdicts is None else verdicts


def _first_column(row: Row, names: tuple[str, ...]) -> str:
    return next(name for name in names if name in row)


def _either(verdict: Any, other: Any) -> Any:
    return other if verdict is None else verdict if other is None else verdict or other


def _is_right(verdict: Any) -> bool | None:
    """Return a verdict that is written as a truth value, as 1 or 0, or as a word; `None` if it is null."""
    if verdict is None or verdict != verdict:  # NaN, which differs from itself
        return None
    word = str(verdict).strip().lower()
    if word in VERDICT_WORDS:
        return VERDICT_WORDS[word]
    if verdict not in (0, 1):
        raise InvalidFeedbackError(
            f"The verdict on a solution is {verdict!r}, but it must be true or false. Fix or drop the row."
        )
    return bool(verdict)
