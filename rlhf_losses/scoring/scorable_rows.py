"""The rows of a dataset that a reward model can score, with their tokenized texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import tee
from typing import TypeAlias

from datasets import Dataset

from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.batches import at_row, row_batches
from rlhf_losses.data.read_columns import with_read_columns
from rlhf_losses.data.row_lengths import RowLengths, usable_rows
from rlhf_losses.data.rows import FeedbackTypes, feedback_types_in_row, length_without_prompt, tokenized_pair
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.feedback import STEPWISE_TYPES
from rlhf_losses.feedback.base import Answer, Row
from rlhf_losses.feedback.source_rows import source_rows
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.transforms import ScoredTexts

ScorableText: TypeAlias = tuple[Encoded, bool]
"""A tokenized text, and whether each step of it has a score."""


@dataclass(frozen=True)
class ScorableRow:
    """A row that has feedback and fits the model.

    Attributes:
        position: position of the row in its dataset.
        row: the row.
        texts: its tokenized texts, and whether each step of the text has a score.
    """

    position: int
    row: Row
    texts: Sequence[ScorableText]


@dataclass(frozen=True)
class ScorableRows:
    """The rows of a dataset that can be scored, and the number of the others.

    Attributes:
        rows: the rows.
        without_feedback: number of rows without feedback.
        too_long: number of rows with a text that does not fit.
    """

    rows: Sequence[ScorableRow]
    without_feedback: int
    too_long: int


def scorable_rows(scorer: Scorer, dataset: Dataset, feedback_types: FeedbackTypes, name: str) -> ScorableRows:
    """Return the rows that have feedback of some types and fit the model, with their tokenized texts.

    Args:
        scorer: the reward model.
        dataset: rows with feedback.
        feedback_types: feedback types to use.
        name: name of the dataset in messages.

    Raises:
        InvalidFeedbackError: no row remains, or a text is too long and `overlong` is `"error"`.
    """
    found: list[ScorableRow] = []
    for numbers, batch in row_batches(with_read_columns(dataset), f"Tokenizing {name}"):
        found += at_row(partial(_encode_rows, scorer, feedback_types, numbers.start), batch, numbers, name)
    limit = scorer.encoder.length_limit
    lengths = RowLengths(
        numbers=source_rows([one.row for one in found], range(len(found))),
        longest=[max((length_of(scorer, text) for text, _ in one.texts), default=0) for one in found],
        removed=[max((text.removed for text, _ in one.texts), default=0) for one in found],
        without_prompt=[length_without_prompt(text for text, _ in one.texts) for one in found],
        texts=lambda index: len(found[index].texts),
    )
    kept = usable_rows(lengths, limit, feedback_types, name)
    return ScorableRows(
        [found[index] for index in kept],
        without_feedback=sum(length == 0 for length in lengths.longest),
        too_long=sum(map(limit.exceeded_by, lengths.longest)),
    )


def length_of(scorer: Scorer, text: Encoded) -> int:
    """Return the number of tokens of a text that is compared with the length limit of a scorer.

    Tokens of the prompt that were removed count, unless the scorer truncates prompts.

    Args:
        scorer: the reward model.
        text: a tokenized text.
    """
    return len(text.ids) + (0 if scorer.encoder.overlong == "truncate_prompt" else text.removed)


def score_texts(scorer: Scorer, texts: Sequence[ScorableText], features: bool) -> ScoredTexts:
    """Return the raw scores of the texts of rows, at the score positions of the joined feedback of the rows.

    Args:
        scorer: the reward model.
        texts: texts from `scorable_rows`.
        features: whether to return the input vectors of the score head.
    """
    parts = scorer.score_parts([text for text, _ in texts], features)
    scored = zip(texts, parts, strict=True)
    return ScoredTexts.concatenate([part if stepwise else scorer.aggregate(part) for (_, stepwise), part in scored])


def _encode_rows(scorer: Scorer, feedback_types: FeedbackTypes, first: int, rows: Sequence[Row]) -> list[ScorableRow]:
    given = [tokenized_pair(row) for row in rows]
    answers, again = tee(
        [] if pair else _answers(scorer, row, feedback_types) for row, pair in zip(rows, given, strict=True)
    )
    texts = scorer.encoder.encode_rows([answer for answer, _ in of_row] for of_row in again)
    return [
        ScorableRow(
            position,
            row,
            [(text, False) for text in pair] or [(text, one[1]) for text, one in zip(encoded, of_row, strict=True)],
        )
        for position, (row, pair, of_row, encoded) in enumerate(zip(rows, given, answers, texts, strict=True), first)
    ]


def answers_in_row(row: Row, feedback_types: FeedbackTypes) -> list[tuple[Answer, bool]]:
    """Return the answers of a row, and whether each step of them has a score.

    Args:
        row: a row of a dataset.
        feedback_types: feedback types to use.
    """
    kinds = feedback_types_in_row(row, feedback_types)
    return [(answer, kind in STEPWISE_TYPES) for kind in kinds for answer in row_answers(row, kind)]


def _answers(scorer: Scorer, row: Row, feedback_types: FeedbackTypes) -> list[tuple[Answer, bool]]:
    """Return the answers of a row in the steps whose scores are aggregated, and whether each step has a score."""
    answers = answers_in_row(row, feedback_types)
    return [(answer if stepwise else scorer.encoder.split_steps(answer), stepwise) for answer, stepwise in answers]
