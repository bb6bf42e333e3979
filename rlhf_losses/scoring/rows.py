"""Rows of feedback as a scorer reads them, for measuring it and for what is fitted beside it."""

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset

from rlhf_losses.data import RowReader
from rlhf_losses.data.dataset import Limit, prepare
from rlhf_losses.data.rows import feedback_types_in_row, tokenized
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.feedback import STEPWISE_TYPES, Feedback, Mixed, Pairs
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.scoring.scorer import Scorer

Row = dict[str, Any]
Kinds = tuple[type[Feedback], ...]


def rows_that_fit(scorer: Scorer, dataset: Dataset, kinds: Kinds, overlong: str, name: str) -> list[Row]:
    """Return the rows that hold feedback of some kinds and fit the model's context."""
    reader = RowReader(scorer.tokenizer, kinds, scorer.metadata.separator)
    limit = Limit(max_context_length(scorer.model.config), "the model's context", overlong)  # type: ignore[arg-type]
    return [dict(row) for row in prepare(dataset, reader, limit, name)]


def feedback_of(rows: Sequence[Row], kinds: Kinds) -> Mixed:
    """Return what rows say, on the scores of their texts laid end to end."""
    feedback, first = [], 0
    for row in rows:
        said = Mixed.from_row_with(row, feedback_types_in_row(row, kinds))
        feedback.append(said.reindexed(torch.arange(first, first + said.score_count())))
        first += said.score_count()
    return Mixed.concatenate(feedback)


def texts_of(scorer: Scorer, rows: Sequence[Row], kinds: Kinds) -> list[tuple[Encoded, bool]]:
    """Return the texts of rows as the scorer reads them, and whether each of their steps has a score of its own.

    Steps are as they are given, and whole answers are cut into steps where the model was trained on steps.
    """
    return [
        (text, kind in STEPWISE_TYPES)
        for row in rows
        for kind in feedback_types_in_row(row, kinds)
        for text in _texts_of_kind(scorer, row, kind)
    ]


def _texts_of_kind(scorer: Scorer, row: Row, kind: type[Feedback]) -> list[Encoded]:
    if kind is Pairs and tokenized(row):
        return tokenized(row)
    answers = kind.answers(row)
    return [scorer.encode(answer if kind in STEPWISE_TYPES else scorer.split_steps(answer)) for answer in answers]
