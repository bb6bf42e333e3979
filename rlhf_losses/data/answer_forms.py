"""Forms of answers: plain texts and conversations."""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.rows import FeedbackTypes, feedback_types_in_row, tokenized_pair
from rlhf_losses.feedback.base import Answer, Row

AnswerForm: TypeAlias = Literal["text", "conversation"]
"""Form of an answer with its prompt."""


def answer_form(answer: Answer) -> AnswerForm:
    """Return the form of an answer: a conversation if its prompt or a part of it is a list of messages.

    Args:
        answer: an answer.

    Examples:
        >>> answer_form(Answer("Hi ", ("there",)))
        'text'
    """
    is_conversation = any(isinstance(part, list) for part in (answer.prompt, *answer.parts))
    return "conversation" if is_conversation else "text"


def answer_forms(rows: Iterable[Row], feedback_types: FeedbackTypes) -> frozenset[AnswerForm]:
    """Return the forms of the answers in rows; rows of tokens count as texts.

    Args:
        rows: rows with feedback.
        feedback_types: feedback types that are used.
    """
    found: set[AnswerForm] = set()
    for row in rows:
        if tokenized_pair(row):
            found.add("text")
            continue
        for feedback_type in feedback_types_in_row(row, feedback_types):
            found.update(map(answer_form, row_answers(row, feedback_type)))
    return frozenset(found)
