"""Batches: the forward passes over the texts of some rows, and the feedback on their scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlhf_losses.data.rows import FEEDBACK_TYPE_BY_NAME, EncodedRow, FeedbackTypes
from rlhf_losses.feedback import Lengths, Mixed
from rlhf_losses.layouts import Layout
from rlhf_losses.layouts.splitting import ForwardPassSplitter
from rlhf_losses.models.text_batch import TextBatch


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """One forward pass: texts of some rows, and the feedback on the scores of these texts.

    Attributes:
        rows: index of each row in the batch.
        texts: input of the model, and the tokens at which scores are computed.
        score_row: for each score, the position of its row in `rows`.
        prompt_weight: weight of each row with `average_over="prompts"`, else 1.
        feedback: feedback on the scores.
        num_tokens: number of tokens of the texts that have scores.
        row_numbers: position of each row in its dataset, for messages.
    """

    rows: Int[Tensor, "row"]
    texts: TextBatch
    score_row: Int[Tensor, "score"]
    prompt_weight: Float[Tensor, "row"]
    feedback: Mixed
    num_tokens: int
    row_numbers: tuple[int, ...] = ()

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "ForwardPass":
        """Return the pass with its tensors on `device`."""
        return replace(
            self,
            rows=self.rows.to(device, non_blocking=non_blocking),
            texts=self.texts.to(device, non_blocking=non_blocking),
            score_row=self.score_row.to(device, non_blocking=non_blocking),
            prompt_weight=self.prompt_weight.to(device, non_blocking=non_blocking),
            feedback=self.feedback.to(device),
        )

    def pin_memory(self) -> "ForwardPass":
        """Return the pass with its tensors, except those of the feedback, in pinned memory."""
        return replace(
            self,
            rows=self.rows.pin_memory(),
            texts=self.texts.pin_memory(),
            score_row=self.score_row.pin_memory(),
            prompt_weight=self.prompt_weight.pin_memory(),
        )


@dataclass(frozen=True)
class Source:
    """The rows of a batch, wrapped in a class because accelerate moves bare lists of tensors to the device."""

    rows: Sequence[EncodedRow]


class Batch(TypedDict):
    """A collated batch: a mapping, as transformers and accelerate require.

    Attributes:
        rows: index of each row; accelerate takes the batch size from its length.
        passes: one forward pass, or several if a splitter divides the batch.
        source: the rows that the batch was made of.
    """

    rows: Int[Tensor, "row"]
    passes: list[ForwardPass]
    source: Source


@dataclass
class Collator:
    """Makes batches of prepared rows, see `rlhf_losses.data.dataset.prepare`.

    Args:
        layout: arrangement of the texts in a forward pass.
        feedback_types: feedback types that every batch has, also without items of a type; rows with
            `dataset_feedback_types` have those in their place.
        splitter: divides a batch into forward passes; None makes one pass of a batch.
    """

    layout: Layout
    feedback_types: FeedbackTypes
    splitter: ForwardPassSplitter | None = None

    def __call__(self, rows: Sequence[EncodedRow]) -> Batch:
        """Return the batch of some rows."""
        parts = [list(range(len(rows)))]
        if self.splitter is not None:
            parts = self.splitter(self.layout, [row["text_ids"] for row in rows])
        passes = [self._forward_pass(rows, indices) for indices in parts]
        return {"rows": torch.arange(len(rows)), "passes": passes, "source": Source(rows)}

    def _forward_pass(self, batch: Sequence[EncodedRow], indices: Sequence[int]) -> ForwardPass:
        rows = [batch[index] for index in indices]
        texts = [ids for row in rows for ids in row["text_ids"]]
        score_text = _shifted((row["score_text"] for row in rows), (len(row["text_ids"]) for row in rows))
        score_counts = torch.tensor([len(row["score_text"]) for row in rows], dtype=torch.long)
        return ForwardPass(
            rows=torch.tensor(indices),
            row_numbers=tuple(row["row_number"] for row in rows),
            texts=self.layout.batch(texts, score_text, [at for row in rows for at in row["score_position"]]),
            score_row=torch.arange(len(rows)).repeat_interleave(score_counts),
            prompt_weight=torch.tensor([row.get("prompt_weight", 1.0) for row in rows]),
            feedback=self._feedback(rows),
            num_tokens=sum(len(texts[index]) for index in set(score_text)),
        )

    def _feedback(self, rows: Sequence[EncodedRow]) -> Mixed:
        """Return the feedback of some rows over their scores, with the lengths of answers if a loss needs them."""
        joined = Mixed.from_rows(
            rows,
            # The text columns, by which `row_feedback` finds the types of a row, may have been removed.
            [[FEEDBACK_TYPE_BY_NAME[name] for name in row["feedback_types"]] for row in rows],
            [len(row["feedback_to_score"]) for row in rows],
            self._types_of_dataset(rows),
        )
        scores = _shifted((row["feedback_to_score"] for row in rows), (len(row["score_text"]) for row in rows))
        feedback = joined.reindexed(torch.tensor(scores, dtype=torch.long))
        if Lengths not in self.feedback_types:
            return feedback
        lengths = torch.tensor([length for row in rows for length in row["score_length"]], dtype=torch.float32)
        return Mixed.concatenate([feedback, Lengths(torch.arange(len(lengths)), lengths)])

    def _types_of_dataset(self, rows: Sequence[EncodedRow]) -> FeedbackTypes:
        names = rows[0].get("dataset_feedback_types") if rows else None
        return self.feedback_types if names is None else [FEEDBACK_TYPE_BY_NAME[name] for name in names]


def _shifted(indices: Iterable[Sequence[int]], sizes: Iterable[int]) -> list[int]:
    """Return the indices of all rows, shifted by the sizes of the rows before.

    >>> _shifted([[0, 1], [0]], sizes=[2, 1])
    [0, 1, 2]
    """
    starts = accumulate(sizes, initial=0)
    return [start + index for of_row, start in zip(indices, starts, strict=False) for index in of_row]
