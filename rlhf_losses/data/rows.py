"""Rows of a dataset: the token ids of their texts, and their feedback.

`RowEncoder` turns rows into the columns of `EncodedRow`. `row_feedback` returns the feedback of one row, and
`join_feedback` joins the feedback of several rows over one vector of scores.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, NotRequired, TypeAlias, TypedDict, get_args, get_origin, get_type_hints

import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.tokenization import Encoded, encode_answers, fit_prompts
from rlhf_losses.feedback import FEEDBACK_TYPES, Feedback, Mixed, shift_positions
from rlhf_losses.feedback.base import Answer, Row
from rlhf_losses.feedback.row_values import read_tokens

FeedbackTypes: TypeAlias = Sequence[type[Feedback]]

FEEDBACK_TYPE_BY_NAME = {feedback_type.__name__: feedback_type for feedback_type in FEEDBACK_TYPES}

TEXT_COLUMNS = ("prompt", "completion", "completions", "chosen", "rejected", "chosen_ids", "rejected_ids")
"""Columns that hold texts only; they are not needed after tokenization."""

FEEDBACK_COLUMNS = tuple(
    dict.fromkeys(
        column
        for feedback_type in FEEDBACK_TYPES
        for column in (*chain(*feedback_type.columns), *feedback_type.optional_columns)
        if column not in TEXT_COLUMNS
    )
)
"""Columns that hold the values of feedback; a batch needs them in addition to `EncodedRow`."""


class EncodedRow(TypedDict):
    """Columns that tokenization adds to a row.

    A row has texts, scores of these texts, and feedback on the scores. Several parts of its answers may have the same
    score: a chosen answer and the last step of the same answer.

    Attributes:
        text_ids: token ids of the distinct texts of the row.
        score_text: for each score, the index of its text in `text_ids`.
        score_position: for each score, the index of its token in the text.
        score_length: for each score, the number of answer tokens up to and including its token.
        feedback_to_score: for each score position in the feedback of the row, the index of the score; −1 for parts
            without feedback, which have no score.
        feedback_types: names of the feedback types of the row.
        length: number of tokens of the longest text.
        row_number: number of the row in messages, see `source_row`.
        removed: largest number of prompt tokens that were removed from a text, so that the texts fit.
        length_without_prompt: number of tokens of the longest text without its prompt.
        prompt_weight: 1 / number of rows with the same prompt; only with `average_over="prompts"`.
        dataset_feedback_types: names of the feedback types of the dataset that the loss uses; only in the data of a
            run, where the evaluation data may have other types than the training data.
    """

    text_ids: list[list[int]]
    score_text: list[int]
    score_position: list[int]
    score_length: list[int]
    feedback_to_score: list[int]
    feedback_types: list[str]
    length: int
    row_number: int
    removed: int
    length_without_prompt: NotRequired[int]
    prompt_weight: NotRequired[float]
    dataset_feedback_types: NotRequired[list[str]]


PREPARED_COLUMNS = tuple(EncodedRow.__annotations__)
"""Names of the columns of `EncodedRow`."""


def encoded_table(rows: Sequence[EncodedRow]) -> pa.Table:
    """Return the columns of tokenized rows, all of which have the same.

    Args:
        rows: one or more tokenized rows.

    Examples:
        >>> row = {"text_ids": [[5, 6], [5, 7]], "length": 2}
        >>> encoded_table([row, row]).schema.field("text_ids").type
        ListType(list<item: list<item: int64>>)
    """
    columns: Sequence[Mapping[str, Any]] = rows
    types = {name: one for name, one in _COLUMN_TYPES.items() if name in rows[0]}
    return pa.table({name: pa.array([row[name] for row in columns], one) for name, one in types.items()})


def _arrow_type(annotation: Any) -> pa.DataType:
    """Return the type of Arrow for a type of Python, for example for `list[int]`."""
    if get_origin(annotation) is list:
        return pa.list_(_arrow_type(get_args(annotation)[0]))
    return {int: pa.int64(), float: pa.float64(), str: pa.string()}[annotation]


_COLUMN_TYPES = {name: _arrow_type(annotation) for name, annotation in get_type_hints(EncodedRow).items()}


def is_prepared(columns: Iterable[str]) -> bool:
    """Return whether a dataset has the columns of `EncodedRow`. One of them may be a column of the user.

    Examples:
        >>> is_prepared(["prompt", "text_ids"]), is_prepared(PREPARED_COLUMNS)
        (False, True)
    """
    return EncodedRow.__required_keys__ <= set(columns)


@dataclass(frozen=True)
class RowEncoder:
    """Tokenizes rows.

    Args:
        tokenizer: tokenizer of the model.
        feedback_types: feedback types to use; other feedback in the rows is ignored.
        separator: string inserted between two steps if neither has white space at the boundary.
    """

    tokenizer: PreTrainedTokenizerBase
    feedback_types: FeedbackTypes
    separator: str = "\n"

    def encode(self, row: Row, max_length: int | None = None, row_number: int = 0) -> EncodedRow:
        """Return the tokenized texts of a row and the positions of its scores.

        Args:
            row: a row with columns of the feedback types.
            max_length: truncate the prompts from the left until the longest text has at most this many tokens.
            row_number: position of the row in its dataset.

        Returns:
            The columns that a batch is made of. A row without any of the feedback types has no texts.

        Raises:
            InvalidFeedbackError: a tokenized text without tokens.
        """
        return next(self.encode_rows([row], max_length, [row_number]))

    def encode_rows(
        self, rows: Sequence[Row], max_length: int | None = None, row_numbers: Sequence[int] | None = None
    ) -> Iterator[EncodedRow]:
        """Yield the tokenized texts of several rows, see `encode`, while threads tokenize those of later rows.

        Args:
            rows: rows with columns of the feedback types.
            max_length: see `encode`.
            row_numbers: position of each row in its dataset; by default the one in `rows`.

        Raises:
            InvalidFeedbackError: a tokenized text without tokens.
        """
        numbers = range(len(rows)) if row_numbers is None else row_numbers
        found = [feedback_types_in_row(row, self.feedback_types) for row in rows]
        given = [tokenized_pair(row) for row in rows]
        answers = ([] if pair else _answers(row, types) for row, types, pair in zip(rows, found, given, strict=True))
        encoded = encode_answers(answers, self.tokenizer, self.separator)
        for row, types, pair, texts, number in zip(rows, found, given, encoded, numbers, strict=True):
            used = set(Mixed.row_positions(row, types))
            yield _without_duplicates(fit_prompts(pair or texts, max_length), used, types, number)


def feedback_types_in_row(row: Mapping[str, Any], feedback_types: Iterable[type[Feedback]]) -> FeedbackTypes:
    """Return those of `feedback_types` that annotate a row: their columns are not null."""
    matching = _matching_types(tuple([name for name, value in row.items() if value is not None]), tuple(feedback_types))
    return tuple([one for one in matching if one.is_annotated(row)])


@cache
def _matching_types(columns: tuple[str, ...], feedback_types: tuple[type[Feedback], ...]) -> FeedbackTypes:
    return tuple(one for one in feedback_types if one.matches_columns(columns))


def _answers(row: Row, feedback_types: FeedbackTypes) -> list[Answer]:
    return [answer for feedback_type in feedback_types for answer in row_answers(row, feedback_type)]


def row_feedback(row: Row, feedback_types: Iterable[type[Feedback]]) -> Mixed:
    """Return the feedback of one row; its score positions count the parts of all answers of the row from 0.

    Args:
        row: a row of a dataset.
        feedback_types: feedback types to use; types that the row does not have are skipped.
    """
    return Mixed.from_row(row, feedback_types_in_row(row, feedback_types))


def join_feedback(
    feedback: Iterable[Feedback],
    score_counts: Iterable[int] | None = None,
    feedback_types: Iterable[type[Feedback]] = (),
) -> Mixed:
    """Join the feedback of several rows over the concatenation of their scores.

    Args:
        feedback: feedback of each row, whose score positions start at 0.
        score_counts: number of scores of each row; by default one more than the largest score position.
        feedback_types: feedback types that the result contains also if no row has them.

    Returns:
        Feedback in which the score positions of each row are shifted by the number of scores of the rows before it.

    Examples:
        >>> from rlhf_losses.feedback import Pairs
        >>> pair = Pairs(chosen=[0], rejected=[1])
        >>> join_feedback([pair, pair]).convert_to(Pairs).chosen
        tensor([0, 2])
    """
    empty = [feedback_type.concatenate([]) for feedback_type in feedback_types]
    return Mixed.concatenate([*empty, *shift_positions(feedback, score_counts)])


def rows_feedback(rows: Iterable[Row], feedback_types: FeedbackTypes) -> Mixed:
    """Return the feedback of rows over the scores of all parts of their answers.

    Args:
        rows: rows of a dataset.
        feedback_types: feedback types to use; types that a row does not have are skipped.
    """
    rows = list(rows)
    return Mixed.from_rows(rows, [feedback_types_in_row(row, feedback_types) for row in rows])


def tokenized_pair(row: Mapping[str, Any]) -> list[Encoded]:
    """Return the texts of a pair with TRL's columns `chosen_ids` and `rejected_ids`, or an empty list.

    Raises:
        InvalidFeedbackError: one of the texts has no tokens, or an entry that is no token id.
    """
    if "chosen_ids" not in row or "rejected_ids" not in row:
        return []
    texts = [read_tokens(row, column) for column in ("chosen_ids", "rejected_ids")]
    return [Encoded(ids, (len(ids) - 1,)) for ids in texts]


def length_without_prompt(texts: Iterable[Encoded]) -> int:
    """Return the number of tokens of the longest text without its prompt, to which no truncation of prompts gets it.

    Args:
        texts: tokenized texts of a row.
    """
    return max((len(text.ids) - text.prompt_length for text in texts), default=0)


def _without_duplicates(
    texts: list[Encoded], used: set[int], feedback_types: FeedbackTypes, row_number: int
) -> EncodedRow:
    """Return the columns of a row with each distinct text, and each score that the feedback uses, once."""
    text_index: dict[tuple[int, ...], int] = {}
    text_ids: list[list[int]] = []
    score_index: dict[tuple[int, int], int] = {}
    lengths: list[int] = []
    feedback_to_score: list[int] = []
    for text in texts:
        index = text_index.setdefault(tuple(text.ids), len(text_index))
        if index == len(text_ids):
            text_ids.append(text.ids)
        for position in text.positions:
            if len(feedback_to_score) not in used:
                feedback_to_score.append(-1)
                continue
            feedback_to_score.append(score_index.setdefault((index, position), len(score_index)))
            if len(score_index) > len(lengths):
                lengths.append(position + 1 - text.prompt[1])
    return {
        "text_ids": text_ids,
        "score_text": [index for index, _ in score_index],
        "score_position": [position for _, position in score_index],
        "score_length": lengths,
        "feedback_to_score": feedback_to_score,
        "feedback_types": [feedback_type.__name__ for feedback_type in feedback_types],
        "length": max(map(len, text_ids), default=0),
        "row_number": row_number,
        "removed": max((text.removed for text in texts), default=0),
        "length_without_prompt": length_without_prompt(texts),
    }
