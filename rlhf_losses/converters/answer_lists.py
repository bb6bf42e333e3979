"""Helpers for rows with a list of chosen and a list of rejected answers."""

from typing import Any

from rlhf_losses.converters.messages import as_messages
from rlhf_losses.feedback.base import Messages, Row

SIDES = ("chosen", "rejected")


def has_answer_lists(row: Row) -> bool:
    """Return whether the columns `chosen` and `rejected` are lists of texts, and not conversations.

    Examples:
        >>> has_answer_lists({"chosen": ["4"], "rejected": ["5", "6"]})
        True
    """
    return all(_is_list_of_texts(row[side]) for side in SIDES)


def answers_of(row: Row) -> tuple[list[Messages], list[Messages]]:
    """Return the chosen and the rejected answers as messages; a null list is empty.

    Raises:
        InvalidFeedbackError: an answer is missing.
    """
    chosen, rejected = ([as_messages("assistant", answer) for answer in row[side] or []] for side in SIDES)
    return chosen, rejected


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
