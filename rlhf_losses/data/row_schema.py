"""Types of the values in the columns of each feedback type, and the check of a row before anything else reads it.

`READERS` has one function for each column. Training, evaluation, scoring, `inspect` and PPO use the same ones.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import chain
from typing import Any, TypeAlias

from rlhf_losses.checks.unicode_text import require_unicode
from rlhf_losses.data.chat_messages import clean_content
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS, template_arguments
from rlhf_losses.errors import InvalidFeedbackError, shown
from rlhf_losses.feedback import Feedback
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.row_values import (
    read_label,
    read_list,
    read_lists,
    read_named_numbers,
    read_number,
    read_numbers,
    read_tokens,
)

Reader: TypeAlias = Callable[[Row, str], object]
"""A function of a row and a column that raises `InvalidFeedbackError` for a value of another type."""


def read_content(row: Row, column: str) -> None:
    """Read a text or a list of messages.

    Args:
        row: a row of a dataset.
        column: name of the column.

    Raises:
        InvalidFeedbackError: the value is something else, or not valid Unicode.

    Examples:
        >>> read_content({"completion": [{"role": "assistant", "content": "4"}]}, "completion")
        >>> read_content({"completion": [1, 2]}, "completion")
        Traceback (most recent call last):
        ...
        rlhf_losses.errors.InvalidFeedbackError: Column 'completion' is [1, 2], which is neither a text nor a list of \
messages: message 0 is 1, which has no role. Write a text, or messages as {"role": "user", "content": "..."}; a \
dataset converter reads other formats.
    """
    clean_content(row[column], f"Column '{column}'")


def read_contents(row: Row, column: str) -> None:
    """Read a list of texts or of lists of messages.

    Args:
        row: a row of a dataset.
        column: name of the column.

    Raises:
        InvalidFeedbackError: the value is something else, or an entry is null.
    """
    _require_contents(read_list(row, column), f"of column '{column}'")


def read_lists_of_contents(row: Row, column: str) -> None:
    """Read a list of answers in steps.

    Args:
        row: a row of a dataset.
        column: name of the column.

    Raises:
        InvalidFeedbackError: the value is something else, or a step is null.
    """
    for index, steps in enumerate(read_lists(row, column)):
        _require_contents(steps, f"of entry {index} of column '{column}'")


def read_text(row: Row, column: str) -> None:
    """Read a text.

    Args:
        row: a row of a dataset.
        column: name of the column.

    Raises:
        InvalidFeedbackError: the value is something else, or not valid Unicode.
    """
    value = row[column]
    if not isinstance(value, str):
        raise InvalidFeedbackError(
            f"Column '{column}' is {shown(value)} of the type {type(value).__name__}, but it must be a text. Write a "
            "text, or null for none."
        )
    require_unicode(value, f"Column '{column}'")


def read_template_argument(row: Row, column: str) -> None:
    """Read an argument of the chat template.

    Args:
        row: a row of a dataset.
        column: name of the column.

    Raises:
        InvalidFeedbackError: the value has another type, or is not valid JSON or Unicode.
    """
    template_arguments({column: row[column]})


READERS: Mapping[str, Reader] = {
    **dict.fromkeys(("prompt", "chosen", "rejected", "completion", "text", "messages"), read_content),
    **dict.fromkeys(("completions", "chosen_steps", "rejected_steps"), read_contents),
    "completion_steps": read_lists_of_contents,
    **dict.fromkeys(("chosen_ids", "rejected_ids"), read_tokens),
    **dict.fromkeys(("margin", "weight", "preference", "tie", "rating", "ties"), read_number),
    "label": read_label,
    **dict.fromkeys(("ranks", "ratings", "labels", "votes"), read_numbers),
    "attributes": read_named_numbers,
    "system": read_text,
    **dict.fromkeys(("tools", "documents", "chat_template_kwargs"), read_template_argument),
}
"""The function that reads each column of a feedback type or of the chat template."""

ANSWER_COLUMNS = (
    *("chosen", "rejected", "completion", "completions", "chosen_ids", "rejected_ids"),
    *("chosen_steps", "rejected_steps", "completion_steps"),
)
"""Columns that hold answers: texts, steps or tokens."""


def require_valid_row(row: Row, feedback_types: Iterable[type[Feedback]]) -> None:
    """Check the values in the columns of feedback types and of the chat template.

    Args:
        row: a row of a dataset.
        feedback_types: feedback types to use; other columns are not read.

    Raises:
        InvalidFeedbackError: a value has another type than its column, or an answer is null beside feedback on it. The
            message has the column; `locate_errors` adds the row.

    Examples:
        >>> from rlhf_losses.feedback import Pairs
        >>> require_valid_row({"prompt": "2 + 2 = ", "chosen": "4", "rejected": "5", "id": object()}, [Pairs])
    """
    types = tuple(feedback_types)
    present = [column for column in row if row[column] is not None]
    for feedback_type in types:
        if not feedback_type.matches_columns(present):
            _require_answers(row, feedback_type, present)
    require_valid_values(row, _columns_of(types))


def require_valid_values(row: Row, columns: Iterable[str]) -> None:
    """Check the values of some columns of a row; null and missing ones are skipped.

    Args:
        row: a row of a dataset.
        columns: names of columns, of which those in `READERS` are checked.

    Raises:
        InvalidFeedbackError: a value has another type than its column.
    """
    for column in columns:
        if row.get(column) is not None and (read := READERS.get(column)) is not None:
            try:
                read(row, column)
            except RecursionError:
                raise InvalidFeedbackError(
                    f"Column '{column}' has lists or objects in one another, deeper than Python can read. Correct the "
                    "value, or drop the row."
                ) from None


@cache
def _columns_of(feedback_types: tuple[type[Feedback], ...]) -> tuple[str, ...]:
    """Return the columns of feedback types and of the chat template."""
    own = chain.from_iterable((*chain(*one.columns), *one.optional_columns) for one in feedback_types)
    return tuple(dict.fromkeys([*own, *TEMPLATE_COLUMNS]))


def _require_answers(row: Row, feedback_type: type[Feedback], present: list[str]) -> None:
    """Raise `InvalidFeedbackError` for an answer that is null beside feedback on it."""
    for columns in feedback_type.columns:
        texts = [column for column in columns if column in row and column not in present and column in ANSWER_COLUMNS]
        given = [column for column in columns if column in present]
        if texts and given:
            raise InvalidFeedbackError(
                f"Column '{texts[0]}' is null, but '{given[0]}' is not, so there is no text for the "
                f"{feedback_type.__name__}. Add the text, or drop the row."
            )


def _require_contents(values: list[Any], place: str) -> None:
    for index, value in enumerate(values):
        if value is None:
            raise InvalidFeedbackError(
                f"Entry {index} {place} is null, so there is no text to score. Add the text, or drop the row."
            )
        clean_content(value, f"Entry {index} {place}")
