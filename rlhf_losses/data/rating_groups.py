"""Rows with one rated answer, grouped by prompt for losses that compare the answers to a prompt."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from datasets import Dataset, IterableDataset

from rlhf_losses.data.batches import locate_errors, row_batches
from rlhf_losses.data.read_columns import with_read_columns
from rlhf_losses.data.row_lengths import LengthLimit, no_feedback, report_without_feedback
from rlhf_losses.data.row_schema import require_valid_row
from rlhf_losses.data.rows import RowEncoder, feedback_types_in_row
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import Feedback, Pairs, Rankings, Ratings, feedback_types_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.row_values import read_number
from rlhf_losses.feedback.source_rows import SOURCE_ROW, correspond, listed_rows, source_row
from rlhf_losses.losses import AnyLoss, Objective

logger = logging.getLogger(__name__)


class FeedbackUser(Protocol):
    """A loss or an estimate: it has one feedback type, and a string form for messages."""

    @property
    def feedback_type(self) -> type[Feedback]:
        """The feedback type that it uses."""


@dataclass(frozen=True)
class GroupedRatings:
    """Rated answers as one row per prompt.

    Attributes:
        rows: the rows.
        answers: number of original rows with a rating.
        single_answers: number of original rows that are left out because their prompt has no other answer, or because
            they have no prompt.
    """

    rows: Dataset
    answers: int
    single_answers: int


@dataclass
class _Group:
    """The rated answers to one prompt.

    Attributes:
        shared: the columns that all of its rows have in common.
        number: number of the row with its longest answer, which is the one that may not fit into a model.
        longest: number of characters of this answer.
        completions: the answers by their JSON string.
        ratings: the ratings of each answer.
    """

    shared: Row
    number: int = -1
    longest: int = -1
    completions: dict[str, Any] = field(default_factory=dict)
    ratings: dict[str, list[float]] = field(default_factory=dict)

    def add(self, completion: Any, rating: float, number: int) -> None:
        """Add the rated answer of a row."""
        key = json_key(completion)
        if len(key) > self.longest:
            self.number, self.longest = number, len(key)
        self.completions.setdefault(key, completion)
        self.ratings.setdefault(key, []).append(rating)

    def __len__(self) -> int:
        return sum(map(len, self.ratings.values()))

    def to_row(self) -> dict[str, Any]:
        """Return the row of all answers, with the mean rating of each."""
        means = [sum(ratings) / len(ratings) for ratings in self.ratings.values()]
        return {
            **self.shared,
            "completions": list(self.completions.values()),
            "ratings": means,
            SOURCE_ROW: self.number,
        }


def group_ratings(
    dataset: Dataset | IterableDataset, user: Objective | FeedbackUser, name: str = "data", log: bool = True
) -> GroupedRatings | None:
    """Group rows with one rated answer by prompt, if a loss compares the answers to a prompt.

    Several ratings of an answer are averaged. Rows without a rating or a prompt, and prompts with one answer, are left
    out. In messages, a group has the number of the row with its longest answer.

    Args:
        dataset: a dataset or a stream.
        user: a loss, an objective or an estimate.
        name: name of the dataset in messages.
        log: whether to say how many lists there are, and what is left out.

    Returns:
        The groups, or None if the dataset does not need them.

    Raises:
        FeedbackMismatchError: a stream, no row has a rating, or every prompt has one answer.

    Examples:
        >>> from rlhf_losses import bradley_terry
        >>> answers = {"prompt": ["2 + 2 ="] * 3, "completion": ["4", "5", "4"], "rating": [5.0, 1.0, 4.0]}
        >>> group_ratings(Dataset.from_dict(answers), bradley_terry).rows[0]["ratings"]
        [4.5, 1.0]
    """
    if not needs_groups(list(dataset.column_names or next(iter(dataset), {})), user):
        return None
    if isinstance(dataset, IterableDataset):
        raise FeedbackMismatchError(
            f"{user} compares the answers to one prompt, but this stream has one rated answer per row. "
            "Load the data without streaming, or give rows with completions and ratings."
        )
    groups = _groups(dataset, name)
    if not groups:
        raise FeedbackMismatchError(no_feedback((Ratings,), name))
    rated = sum(map(len, groups))
    comparable = [group for group in groups if len(group.completions) > 1]
    if log:
        _report(groups, comparable, len(dataset) - rated, user, name)
    if not comparable:
        raise FeedbackMismatchError(no_comparison(user, name))
    rows = [group.to_row() for group in comparable]
    if correspond([row[SOURCE_ROW] for row in rows]):
        rows = [{key: value for key, value in row.items() if key != SOURCE_ROW} for row in rows]
    return GroupedRatings(Dataset.from_list(rows), rated, rated - sum(map(len, comparable)))


def without_long_answers(lists: Dataset, encoder: RowEncoder, limit: LengthLimit, name: str) -> Dataset:
    """Return lists of rated answers without the answers that are too long, if rows that are too long are dropped.

    Args:
        lists: rows that `group_ratings` has made.
        encoder: tokenizes one row.
        limit: largest number of tokens, and the treatment of longer texts.
        name: name of the dataset in messages.

    Raises:
        InvalidFeedbackError: no list has two answers that fit.
    """
    if limit.tokens is None or limit.overlong != "drop":
        return lists
    rows: list[Row] = []
    long: list[int] = []
    for numbers, batch in row_batches(lists, f"Checking lengths of {name}"):
        for position, row, encoded in zip(numbers, batch, encoder.encode_rows(batch), strict=True):
            fitting = _fitting(row, encoder, limit) if limit.exceeded_by(encoded["length"]) else row
            long += [source_row(row, position)] * (len(row["completions"]) - len(fitting["completions"]))
            rows += [fitting] if len(fitting["completions"]) > 1 else []
    if not long:
        return lists
    if not rows:
        raise InvalidFeedbackError(
            f"No list of {name} has two answers of at most {limit.tokens} tokens ({limit.source}), so nothing can be "
            "compared. Shorten the answers, or raise the limit."
        )
    what, also = ("answer is", "") if len(long) == 1 else ("answers are", "; the longest of their lists")
    logger.warning(
        "%s: %d rated %s longer than %d tokens (%s) and dropped%s: %s.",
        name, len(long), what, limit.tokens, limit.source, also, listed_rows(list(dict.fromkeys(long))),
    )  # fmt: skip
    return Dataset.from_list(rows)


def _fitting(row: Row, encoder: RowEncoder, limit: LengthLimit) -> Row:
    """Return a list with the answers that are not too long."""
    shared = {name: value for name, value in row.items() if name not in ("completions", "ratings")}
    answers = [
        (completion, rating)
        for completion, rating in zip(row["completions"], row["ratings"], strict=True)
        if not limit.exceeded_by(encoder.encode({**shared, "completion": completion, "rating": rating})["length"])
    ]
    return {**row, "completions": [text for text, _ in answers], "ratings": [rating for _, rating in answers]}


def _groups(dataset: Dataset, name: str) -> list[_Group]:
    """Return the rated answers to each prompt; a row without a prompt is a group of its own."""
    groups: dict[str, _Group] = {}
    shared = [column for column in ("prompt", *TEMPLATE_COLUMNS) if column in dataset.column_names]
    for position, row in enumerate(with_read_columns(dataset)):
        number = source_row(row, position)
        with locate_errors(number, name):
            require_valid_row(row, (Ratings,))
            if not feedback_types_in_row(row, (Ratings,)):
                continue
            Ratings.from_row(row)
        values = {column: row[column] for column in shared}
        key = json_key(values) if _has_prompt(row) else f"row {position}"
        groups.setdefault(key, _Group(values)).add(row["completion"], read_number(row, "rating"), number)
    return list(groups.values())


def _has_prompt(row: Row) -> bool:
    prompt = row["prompt"]
    return bool(prompt.strip() if isinstance(prompt, str) else prompt)


def _report(groups: Sequence[_Group], comparable: Sequence[_Group], without_rating: int, user: Any, name: str) -> None:
    """Log how many lists there are, and what was left out."""
    rated = sum(map(len, groups))
    repeated = sum(len(ratings) > 1 for group in comparable for ratings in group.ratings.values())
    means = f" Answers with several ratings ({repeated}) have their mean." if repeated else ""
    report_without_feedback(without_rating, without_rating + rated, name)
    logger.info(
        "%s: %d rated answers are grouped by prompt into %d lists, which count as its rows.%s",
        name, rated, len(comparable), means,
    )  # fmt: skip
    without_prompt = [group.number for group in groups if not _has_prompt(group.shared)]
    if without_prompt:
        logger.warning(
            "%s: rated answers without a prompt (%s) are compared with no other answer. They are dropped.",
            name, listed_rows(without_prompt),
        )  # fmt: skip
    single = len(groups) - len(comparable) - len(without_prompt)
    if single:
        logger.warning(
            "%s: %d prompts have one rated answer, which %s cannot compare. They are dropped.", name, single, user
        )


def no_comparison(user: FeedbackUser | AnyLoss, name: str) -> str:
    """Return the message that no prompt has two rated answers.

    Args:
        user: a loss, an objective or an estimate that compares answers.
        name: name of the dataset in messages.
    """
    return (
        f"{user} compares the answers to one prompt, but every prompt of {name} has one rated answer. "
        "Use a loss of single ratings, for example squared_error."
    )


def needs_groups(columns: Sequence[str], user: FeedbackUser | AnyLoss) -> bool:
    """Return whether columns have one rated answer per row, while a loss compares answers.

    Args:
        columns: columns of the dataset.
        user: a loss, an objective or an estimate.

    Examples:
        >>> from rlhf_losses import bradley_terry, squared_error
        >>> columns = ["prompt", "completion", "rating"]
        >>> needs_groups(columns, bradley_terry), needs_groups(columns, squared_error)
        (True, False)
    """
    one_answer_per_row = {"prompt", "completion", "rating"} <= set(columns) and "ratings" not in columns
    used = {term.loss.feedback_type for term in user.terms} if isinstance(user, Objective) else {user.feedback_type}
    return one_answer_per_row and bool({Rankings, Pairs} & used) and len(feedback_types_in_columns(columns)) == 1


def json_key(value: Any) -> str:
    """Return a string that is equal for equal values, such as prompts.

    Args:
        value: a value of a row. One of another type than JSON has is refused later, by the check of rows.
    """
    return json.dumps(value, sort_keys=True, default=repr)
