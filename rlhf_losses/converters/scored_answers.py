"""Helpers for rows with a list of answers, each of which has a rank or a score."""

from typing import Any

from rlhf_losses.converters.messages import single_message
from rlhf_losses.feedback.base import Messages, Row


def has_fields(answers: Any, *names: str) -> bool:
    """Return whether a value is a non-empty list of objects with these fields.

    Examples:
        >>> has_fields([{"answer": "4", "rank": 1}], "answer", "rank"), has_fields(["4"], "answer")
        (True, False)
    """
    return isinstance(answers, list) and bool(answers) and all(_has(answer, names) for answer in answers)


def ranked_answers(prompt: Messages, answers: list[dict[str, Any]], text: str, rank: str, sign: int = 1) -> list[Row]:
    """Return the ranking of the answers that have a rank, or no row if there are fewer than two of them.

    Args:
        prompt: the conversation before the answers.
        answers: answers with a text and a rank.
        text: name of the field with the text.
        rank: name of the field with the rank.
        sign: 1 if lower is better, −1 if higher is better.

    Raises:
        InvalidFeedbackError: a ranked answer has no text.
    """
    ranked = [answer for answer in answers if answer[rank] is not None]
    if len(ranked) < 2:
        return []
    return [
        {
            "prompt": prompt,
            "completions": [single_message("assistant", answer[text]) for answer in ranked],
            "ranks": [sign * answer[rank] for answer in ranked],
        }
    ]


def listed_answers(prompt: Messages, answers: list[dict[str, Any]], text: str) -> list[Row]:
    """Return all answers to a prompt without their ranks, or no row if there are none.

    Args:
        prompt: the conversation before the answers.
        answers: answers with a text.
        text: name of the field with the text.

    Examples:
        >>> listed_answers([], [{"answer": "4", "rank": None}], "answer")
        [{'prompt': [], 'completions': [[{'role': 'assistant', 'content': '4'}]]}]
    """
    texts = [single_message("assistant", answer[text]) for answer in answers if answer[text] is not None]
    return [{"prompt": prompt, "completions": texts}] if texts else []


def _has(answer: Any, names: tuple[str, ...]) -> bool:
    return isinstance(answer, dict) and set(names) <= set(answer)
