"""Solutions of problems, of which a verifier says whether they are right."""

import re
from collections.abc import Container, Sequence
from itertools import product
from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.helpsteer_ratings import HelpsteerRatings
from rlhf_losses.converters.messages import as_messages, is_conversation
from rlhf_losses.converters.repeated_prompt import repeats_prompt
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback.base import Row
from rlhf_losses.messages.setting_names import setting

PROBLEMS = ("problem", "question", "prompt", "instruction", "query", "input")

GENERATED = (
    "completion",
    "completions",
    "generations",
    "generation",
    "generated_solutions",
    "generated_solution",
    "model_solutions",
    "model_solution",
    "model_outputs",
    "model_output",
    "model_responses",
    "model_response",
    "responses",
    "response",
    "outputs",
    "output",
)
"""Columns of texts that a model wrote: the verdict is on them. The first two, names of this library, come first."""

GENERATED_OR_REFERENCE = ("solutions", "solution", "answers", "answer")
"""Columns of judged answers, or of references: they are references beside a column of `GENERATED`."""

ANSWERS = (*GENERATED, *GENERATED_OR_REFERENCE)

VERDICTS = ("is_correct", "correctness_math_verify", "correctness", "correct")

SECOND_VERDICTS = "correctness_llama"
"""Verdicts of a language model on answers that the verifier could not read."""

VERDICT_WORDS = {"true": True, "false": False, "correct": True, "incorrect": False, "1": True, "0": False}

NO_ANSWERS = (*PROBLEMS, *VERDICTS, SECOND_VERDICTS)

DESCRIPTION = re.compile(
    r"(.*_)?(ids?|uuid|idx|index|type|source|dataset|split|subset|model|generator|name|subject|topic|category|domain|"
    r"level|difficulty|language|lang|url|license|date|error|message|tags?)"
    r"|(reference|expected|ground_truth|gold|target|true|correct|final|predicted|extracted|parsed)(_.*)?"
    r"|system|tools|documents|chat_template_kwargs|(annotator|worker|rater|labell?er|judge|evaluator|coder)(_.*)?",
    re.IGNORECASE,
)
"""Names of columns whose texts describe the row, or are references: no verdict is on them."""


class Solutions(DatasetConverter):
    """Solutions with a verdict as `Labels`: one solution per row, or a list of solutions with a list of verdicts.

    This is the format of OpenMathInstruct (`generated_solution`, `is_correct`) and OpenR1-Math (`generations`,
    `correctness_math_verify`); there, an answer is also right if `correctness_llama` says so. The verdict is on the
    generated text, and `solution` and `answer` beside it are references. A solution with a null verdict has no
    feedback.

    A row is refused if the verdict can be on either of two columns: on two generated texts, or on `solution` or
    `answer` beside a column of texts with another name.
    """

    columns = tuple(product(PROBLEMS, ANSWERS, VERDICTS))
    source = "https://huggingface.co/datasets/open-r1/OpenR1-Math-220k"

    def matches(self, row: Row) -> bool:
        if not super().matches(row) or HelpsteerRatings().matches(row):
            return False
        problem, verdicts = row[_first_column(row, PROBLEMS)], row[_first_column(row, VERDICTS)]
        answers = [row[name] for name in ANSWERS if name in row]
        several = isinstance(verdicts, list)
        return (
            _is_text(problem)
            and all(map(_is_verdict, verdicts if several else [verdicts]))
            and any(_are_answers(answer, several) and not repeats_prompt(problem, answer) for answer in answers)
        )

    def convert(self, row: Row) -> list[Row]:
        verdicts = _verdicts(row)
        if verdicts is None:
            return []
        answers = _answers(row)
        labels = [_is_right(verdict) for verdict in (verdicts if isinstance(verdicts, list) else [verdicts])]
        if len(labels) != len(answers):
            raise InvalidFeedbackError(
                f"The row has {len(answers)} solutions and {len(labels)} verdicts, but each solution needs one. Fix or "
                "drop the row."
            )
        judged = [(answer, label) for answer, label in zip(answers, labels, strict=True) if label is not None]
        return [{**_solution(row, answer), "label": label} for answer, label in judged]

    def texts(self, row: Row) -> list[Row]:
        return [_solution(row, answer) for answer in _answers(row) if answer is not None]


def _solution(row: Row, answer: Any) -> Row:
    problem = row[_first_column(row, PROBLEMS)]
    return {"prompt": as_messages("user", problem), "completion": as_messages("assistant", answer)}


def _answers(row: Row) -> list[Any]:
    """Return the judged answers of a row."""
    problem, verdict = _first_column(row, PROBLEMS), _first_column(row, VERDICTS)
    if problem == "instruction" and row.get("input"):
        raise _ambiguous("problem", "instruction", "input", verdict, "prompt")
    answers = row[_judged_column(row, verdict, _has_several(row))]
    return answers if isinstance(answers, list) and not is_conversation(answers) else [answers]


def _verdicts(row: Row) -> Any:
    """Return the verdicts of a row, a list or a single one, or `None` if there are none."""
    verdicts, second = row[_first_column(row, VERDICTS)], row.get(SECOND_VERDICTS)
    if isinstance(verdicts, list) and isinstance(second, list):
        return [_either(*both) for both in zip(verdicts, second, strict=True)]
    return second if verdicts is None else verdicts


def _has_several(row: Row) -> bool:
    """Return whether the row has a list of solutions; without verdicts, the columns with known names tell."""
    verdicts = _verdicts(row)
    if verdicts is not None:
        return isinstance(verdicts, list)
    generated = [name for name in GENERATED if row.get(name) is not None]
    return any(_are_answers(row[name], True) for name in generated or _known(row))


def _judged_column(row: Row, verdict: str, several: bool) -> str:
    """Return the column that the verdict is on, a text or with `several` a list of texts.

    Raises:
        FeedbackMismatchError: the verdict can be on either of two columns.
    """
    fitting = [name for name, value in row.items() if _are_answers(value, several)]
    generated = [name for name in GENERATED if name in row and (name in fitting or row[name] is None)]
    candidates = [name for name in generated if name in fitting] or generated
    if not generated:
        texts = [name for name in fitting if name not in NO_ANSWERS and not DESCRIPTION.fullmatch(name)]
        solution = _first_column(row, [*_known(fitting), *_known(row)])
        candidates = list(dict.fromkeys([solution, *texts]))
    first, *more = candidates
    if more and first not in GENERATED[:2]:
        raise _ambiguous("answer", first, more[0], verdict, GENERATED[several])
    return first


def _ambiguous(role: str, first: str, second: str, verdict: str, new: str) -> FeedbackMismatchError:
    python = f"rename_columns(dataset, {{'{new}': '{first}'}})"
    return FeedbackMismatchError(
        f"The columns are '{first}' and '{second}' beside the verdict '{verdict}', and either can be the {role} that "
        f"was judged. Name the right one with {setting('columns', f'{new}={first}', python=python)}, or remove the "
        "other."
    )


def _known(names: Container[str]) -> list[str]:
    """Return those of `ANSWERS` that are in `names`, best first."""
    return [name for name in ANSWERS if name in names]


def _first_column(row: Row, names: Sequence[str]) -> str:
    return next(name for name in names if name in row)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or is_conversation(value)


def _are_answers(value: Any, several: bool) -> bool:
    """Return whether a value is a text, or with `several` a list of texts."""
    if not several:
        return _is_text(value)
    return isinstance(value, list) and not is_conversation(value) and all(_is_text(one) or one is None for one in value)


def _is_verdict(value: Any) -> bool:
    return (
        value is None
        or value != value
        or value in (0, 1)
        or (isinstance(value, str) and value.strip().lower() in VERDICT_WORDS)
    )


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
