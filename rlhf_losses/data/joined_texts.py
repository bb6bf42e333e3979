"""Prompts and answers that meet without white space: texts are joined as they are."""

from collections.abc import Iterable

from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.rows import FeedbackTypes, feedback_types_in_row, tokenized_pair
from rlhf_losses.feedback.base import Answer, Row


def meets_without_space(answer: Answer) -> bool:
    """Return whether a plain prompt and the first word of its answer meet without white space.

    Only words in scripts with capital letters, and numbers, are counted: in other scripts, such as Chinese, white space
    between sentences is not usual. Conversations are joined by the chat template.

    Args:
        answer: an answer with its prompt.

    Examples:
        >>> meets_without_space(Answer("2 + 2 =", ("4",))), meets_without_space(Answer("2 + 2 = ", ("4",)))
        (True, False)
    """
    prompt, text = answer.prompt, answer.parts[0]
    if not isinstance(prompt, str) or not isinstance(text, str) or not prompt or not text:
        return False
    first = text[0]
    return not prompt[-1].isspace() and (first.isdecimal() or first.lower() != first.upper())


def first_joint(rows: Iterable[Row], feedback_types: FeedbackTypes) -> tuple[int, int, str]:
    """Return how many rows have an answer that meets its prompt without white space.

    Args:
        rows: rows of a dataset.
        feedback_types: feedback types to use.

    Returns:
        The number of such rows, the number of rows with an answer, and the text around the first such place.
    """
    found, count, example = 0, 0, ""
    for row in rows:
        types = () if tokenized_pair(row) else feedback_types_in_row(row, feedback_types)
        answers = [answer for feedback_type in types for answer in row_answers(row, feedback_type)]
        joined = next((answer for answer in answers if meets_without_space(answer)), None)
        count += bool(answers)
        found += joined is not None
        if joined is not None and not example:
            example = f"{str(joined.prompt)[-12:]}{str(joined.parts[0])[:12]}"
    return found, count, example
