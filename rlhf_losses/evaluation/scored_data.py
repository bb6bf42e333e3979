"""Scores of the texts of a dataset, with the feedback on them and what is known about each text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlhf_losses.evaluation.intervals import IntVector
from rlhf_losses.feedback import Mixed
from rlhf_losses.feedback.base import Row
from rlhf_losses.inspection.annotations import AnnotatedTexts


@dataclass(frozen=True)
class DroppedRows:
    """Rows that are not part of an evaluation, by reason.

    Attributes:
        given: number of rows of the dataset, with the dropped ones.
        not_converted: rows in which the converter found no feedback.
        without_feedback: rows with null in a column of the feedback.
        too_long: rows with a text that does not fit into the context of the model.
    """

    given: int
    not_converted: int = 0
    without_feedback: int = 0
    too_long: int = 0

    @property
    def total(self) -> int:
        """Number of dropped rows."""
        return sum(self.reasons.values())

    @property
    def reasons(self) -> dict[str, int]:
        """Number of dropped rows by reason."""
        return {name: count for name, count in asdict(self).items() if name != "given"}

    def with_unconverted(self, count: int) -> "DroppedRows":
        """Return the counts with the rows in which a converter found no feedback.

        Args:
            count: number of these rows.
        """
        return replace(self, given=self.given + count, not_converted=self.not_converted + count)

    def to_dict(self) -> dict[str, int]:
        """Return the JSON object."""
        return {**asdict(self), "total": self.total}


@dataclass(frozen=True)
class ScoredData:
    """Scores of all texts that the feedback of a dataset refers to.

    Entry `i` of each vector over the scores describes the text at position `i` of the scores.

    Attributes:
        rows: the rows that were scored.
        numbers: number of each row in messages and files, see `source_row`.
        columns: values of further columns, by name, with one entry per row.
        by: the columns that divide the rows into slices.
        texts: the texts and their ids; its score positions are those of `scores`.
        feedback: feedback over the scores.
        scores: the scores.
        used: whether feedback refers to a score; scores of steps without a label have none.
        prompt_tokens: number of tokens of the prompt.
        answer_tokens: number of tokens of the answer up to the score.
        text_tokens: number of tokens of the whole text.
    """

    rows: Sequence[Row]
    numbers: IntVector
    columns: Mapping[str, Sequence[Any]]
    by: Sequence[str]
    texts: AnnotatedTexts
    feedback: Mixed
    scores: Tensor
    used: Tensor
    prompt_tokens: IntVector
    answer_tokens: IntVector
    text_tokens: IntVector

    @property
    def clusters(self) -> IntVector:
        """Cluster of each score: texts with the same prompt, or of the same row if they have no prompt."""
        has_prompt = np.nan_to_num(self.texts.prompt_length) > 0
        return np.where(has_prompt, self.texts.prompt, len(self.texts.prompt) + self.texts.row)

    @property
    def values(self) -> Tensor:
        """The scores in float64."""
        return self.scores.to(torch.float64)
