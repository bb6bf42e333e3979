"""Rows that fit: the largest number of tokens of a text, and the rows that are dropped or truncated for it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from rlhf_losses.checks.argument_checks import require_choice
from rlhf_losses.data.rows import FeedbackTypes
from rlhf_losses.errors import InvalidFeedbackError, counted_from_0
from rlhf_losses.feedback.source_rows import listed_rows
from rlhf_losses.messages.setting_names import setting

logger = logging.getLogger(__name__)

Overlong: TypeAlias = Literal["drop", "truncate_prompt", "error"]


@dataclass(frozen=True)
class LengthLimit:
    """The largest number of tokens of a text.

    Attributes:
        tokens: the limit, or None for no limit.
        source: the setting that the limit comes from, for messages.
        overlong: treatment of rows with a longer text: `"drop"`, `"truncate_prompt"` or `"error"`.
    """

    tokens: int | None
    source: str
    overlong: Overlong = "drop"

    def __post_init__(self) -> None:
        require_choice(self.overlong, get_args(Overlong), "overlong")

    def exceeded_by(self, length: int) -> bool:
        """Return whether a text of `length` tokens is too long."""
        return self.tokens is not None and length > self.tokens


@dataclass(frozen=True)
class OverlongRows:
    """Rows with a text that is longer than a limit.

    Attributes:
        limit: largest number of tokens.
        source: the setting that the limit comes from.
        rows: numbers of the rows in messages.
        longest: number of tokens of the longest text of all rows.
        total: number of all rows.
    """

    limit: int
    source: str
    rows: tuple[int, ...]
    longest: int
    total: int

    @classmethod
    def of(cls, longest: Mapping[int, int], limit: LengthLimit) -> "OverlongRows | None":
        """Return the rows that are too long, or None if there is no limit.

        Args:
            longest: number of tokens of the longest text of each row, by the number of the row.
            limit: the limit.
        """
        if limit.tokens is None:
            return None
        rows = tuple(number for number, length in longest.items() if limit.exceeded_by(length))
        return cls(limit.tokens, limit.source, rows, max(longest.values(), default=0), len(longest))

    def describe(self) -> str:
        """Return how many rows are too long, and which."""
        limit = f"{self.limit} tokens ({self.source})"
        if not self.rows:
            return f"No text is longer than {limit}."
        has, it = ("has", "it") if len(self.rows) == 1 else ("have", "them")
        return (
            f"{len(self.rows)} of {self.total} rows {has} a text longer than {limit}: {listed_rows(self.rows)}. The "
            f"longest text has {self.longest}. Training drops {it}. ({counted_from_0(self.rows[0])})"
        )


@dataclass(frozen=True)
class RowLengths:
    """Numbers of tokens of the rows of a dataset; each sequence has one entry per row.

    Attributes:
        numbers: number of the row in messages.
        longest: number of tokens of the longest text; 0 for a row without feedback.
        removed: number of prompt tokens that were removed, so that the texts fit.
        without_prompt: number of tokens of the longest text without its prompt.
        texts: returns the number of texts of the row at an index; asked for rows that are too long.
    """

    numbers: Sequence[int]
    longest: Sequence[int]
    removed: Sequence[int]
    without_prompt: Sequence[int]
    texts: Callable[[int], int]


def usable_rows(lengths: RowLengths, limit: LengthLimit, feedback_types: FeedbackTypes, name: str) -> list[int]:
    """Return the indices of the rows that have feedback and fit, and report the others and those that are truncated.

    Args:
        lengths: numbers of tokens of the rows.
        limit: largest number of tokens, and the treatment of longer texts.
        feedback_types: feedback types that are used, for messages.
        name: name of the dataset in messages.

    Raises:
        InvalidFeedbackError: no row remains, or a text is too long and `limit.overlong` is `"error"`.
    """
    kept = [index for index, length in enumerate(lengths.longest) if length and not limit.exceeded_by(length)]
    report_dropped(lengths, limit, name)
    _report_truncated(sum(lengths.removed[index] > 0 for index in kept), limit, len(lengths.longest), name)
    if not any(lengths.longest):
        raise InvalidFeedbackError(no_feedback(feedback_types, name))
    if not kept:
        count = len(lengths.longest)
        raise InvalidFeedbackError(
            f"No row of {name} is left: {count} of {count} have a text longer than {limit.tokens} tokens "
            f"({limit.source}). {_shortening(lengths, limit)} Or raise the limit."
        )
    return kept


def report_without_feedback(count: int, total: int, name: str) -> None:
    """Warn about rows that are dropped because they have no feedback, if there are any.

    Args:
        count: number of these rows.
        total: number of rows.
        name: name of the dataset in messages.
    """
    if count:
        logger.warning("%s: %d of %d rows have no feedback that the loss uses. They are dropped.", name, count, total)


def report_dropped(lengths: RowLengths, limit: LengthLimit, name: str) -> None:
    """Warn about rows that are dropped, because they have no feedback or are too long, if there are any.

    Args:
        lengths: numbers of tokens of the rows.
        limit: largest number of tokens, and the treatment of longer texts.
        name: name of the dataset in messages.

    Raises:
        InvalidFeedbackError: a text is too long, and `limit.overlong` is `"error"`.
    """
    total = len(lengths.longest)
    report_without_feedback(sum(length == 0 for length in lengths.longest), total, name)
    too_long = [index for index, length in enumerate(lengths.longest) if limit.exceeded_by(length)]
    if not too_long:
        return
    found = (
        f"{name}: {len(too_long)} of {total} rows have a text longer than {limit.tokens} tokens ({limit.source}); "
        f"the longest has {max(lengths.longest)}."
    )
    if limit.overlong == "error":
        raise InvalidFeedbackError(
            f"{found} Drop them with {setting('overlong', 'drop')}. {_shortening(lengths, limit)}"
        )
    texts = [lengths.texts(index) for index in too_long]
    whole = f", with all of their {sum(texts)} answers" if max(texts) > 2 else ""
    logger.warning("%s They are dropped%s. %s", found, whole, _shortening(lengths, limit))


def _shortening(lengths: RowLengths, limit: LengthLimit) -> str:
    """Return how the texts that are too long can get shorter: by shorter prompts, or only by shorter answers."""
    rows = list(zip(lengths.numbers, lengths.longest, lengths.without_prompt, strict=True))
    long_answers = [number for number, _, answer in rows if limit.exceeded_by(answer)]
    long_prompts = [
        number for number, longest, answer in rows if limit.exceeded_by(longest) and not limit.exceeded_by(answer)
    ]
    truncation = setting("overlong", "truncate_prompt")
    advice = [f"To truncate prompts instead: {truncation} ({listed_rows(long_prompts)})."] if long_prompts else []
    if long_answers:
        advice.append(
            f"Without its prompt a text is too long already in {listed_rows(long_answers)}, so {truncation} does "
            "not help there: shorten these answers."
        )
    return " ".join(advice)


def _report_truncated(truncated: int, limit: LengthLimit, total: int, name: str) -> None:
    if truncated:
        logger.warning(
            "%s: the prompts of %d of %d rows are truncated on the left, so that their texts have at most %d tokens "
            "(%s).",
            name, truncated, total, limit.tokens, limit.source,
        )  # fmt: skip


def no_feedback(feedback_types: FeedbackTypes, name: str) -> str:
    """Return the message that no row has feedback.

    Args:
        feedback_types: feedback types that are used.
        name: name of the dataset in messages.
    """
    names = " and ".join(feedback_type.__name__ for feedback_type in feedback_types)
    return (
        f"No row of {name} has the feedback that the loss needs: in every row a column of {names} is null. "
        "Complete the rows, or choose a loss that uses other columns."
    )
