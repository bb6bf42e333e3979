"""Rows to a batch: forward passes over texts in a layout, where scores are read, and the feedback on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlhf_losses.data.rows import FEEDBACK_TYPE_BY_NAME
from rlhf_losses.feedback import Feedback, Lengths, Mixed
from rlhf_losses.layouts import Layout
from rlhf_losses.layouts.splitting import ForwardPassSplitter

Row = dict[str, Any]

ForwardPass = dict[str, Any]
"""One forward pass: `rows`, their numbers in the batch; `model_inputs`; for each score `score_at`, the token
where it is read, and `score_row`; `texts`, a key of each and where its tokens are; `prompt_share`, one a row;
`feedback` on the scores; `num_tokens` of the texts that are read."""

Batch = dict[str, Any]
"""`rows` numbers the rows; `passes` holds one `ForwardPass`, or several where they are cut; `source` the rows themselves."""


@dataclass(frozen=True)
class Source:
    """The rows that a batch was made of, as one thing that is not moved to a device."""

    rows: Sequence[Row]


@dataclass
class Collator:
    """Make a batch of rows that `RowReader.encode` has prepared.

    Args:
        layout: how the texts lie in memory.
        kinds: the kinds of feedback that are read.
        cut: which rows meet in one forward pass; by default all of them do.
    """

    layout: Layout
    kinds: tuple[type[Feedback], ...]
    cut: ForwardPassSplitter | None = None

    def __call__(self, rows: Sequence[Row]) -> Batch:
        everything = [list(range(len(rows)))]
        cut = self.cut(self.layout, [row["text_ids"] for row in rows]) if self.cut else everything
        passes = [self._pass(rows, numbers) for numbers in cut]
        return {"rows": torch.arange(len(rows)), "passes": passes, "source": Source(rows)}

    def _pass(self, rows: Sequence[Row], numbers: Sequence[int]) -> ForwardPass:
        chosen = [rows[number] for number in numbers]
        texts = [ids for row in chosen for ids in row["text_ids"]]
        text, position, owner = _scores(chosen)
        return {
            "rows": torch.tensor(numbers),
            **self.layout.lay_out(texts, text, position),
            "score_row": torch.tensor(owner, dtype=torch.long),
            "prompt_share": torch.tensor([row.get("prompt_share", 1.0) for row in chosen]),
            "feedback": self._feedback(chosen),
            "num_tokens": torch.tensor(sum(len(texts[which]) for which in set(text))),
        }

    def _feedback(self, rows: Sequence[Row]) -> Mixed:
        parts: list[Feedback] = [kind.concatenate([]) for kind in self.kinds]
        first = 0
        for row in rows:
            kinds = [FEEDBACK_TYPE_BY_NAME[name] for name in row["kinds"]]
            parts.append(
                Mixed.from_row_with(row, kinds).reindexed(torch.tensor(row["score_of"], dtype=torch.long) + first)
            )
            count = len(row["score_text"])
            if Lengths in self.kinds:
                parts.append(Lengths(torch.arange(first, first + count), row["score_length"]))
            first += count
        return Mixed.concatenate(parts)


def _scores(rows: Sequence[Row]) -> tuple[list[int], list[int], list[int]]:
    """Return for each score the number of its text, its position in it, and the number of its row."""
    text, position, owner, first = [], [], [], 0
    for number, row in enumerate(rows):
        text += [first + which for which in row["score_text"]]
        position += row["score_position"]
        owner += [number] * len(row["score_text"])
        first += len(row["text_ids"])
    return text, position, owner
