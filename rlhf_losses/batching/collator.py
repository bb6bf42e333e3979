"""Rows to a batch: tokens in a layout, where scores are read, and the feedback on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlhf_losses.batching.padded import pad
from rlhf_losses.batching.rows import KIND_BY_NAME
from rlhf_losses.feedback import Feedback, Mixed

Batch = dict[str, Any]
"""`rows` (numbers the rows), `input_ids` and `attention_mask`, and for each score its `score_text`,
`score_position` and `score_row`; `prompt_share` (one a row); `feedback` on the scores."""


@dataclass
class Collator:
    """Make a batch of rows that `RowReader.encode` has prepared."""

    pad_token_id: int
    kinds: tuple[type[Feedback], ...]
    multiple_of: int | None = None

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Batch:
        texts = [ids for row in rows for ids in row["text_ids"]]
        return {
            "rows": torch.arange(len(rows)),
            **pad(texts, self.pad_token_id, self.multiple_of),
            **_scores(rows),
            "prompt_share": torch.tensor([row.get("prompt_share", 1.0) for row in rows]),
            "feedback": self._feedback(rows),
        }

    def _feedback(self, rows: Sequence[dict[str, Any]]) -> Mixed:
        parts: list[Feedback] = [kind.concatenate([]) for kind in self.kinds]
        first = 0
        for row in rows:
            kinds = [KIND_BY_NAME[name] for name in row["kinds"]]
            parts.append(Mixed.of_kinds(row, kinds).reindexed(torch.tensor(row["score_of"], dtype=torch.long) + first))
            first += len(row["score_text"])
        return Mixed.concatenate(parts)


def _scores(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    text, position, owner, first = [], [], [], 0
    for number, row in enumerate(rows):
        text += [first + which for which in row["score_text"]]
        position += row["score_position"]
        owner += [number] * len(row["score_text"])
        first += len(row["text_ids"])
    columns = {"score_text": text, "score_position": position, "score_row": owner}
    return {name: torch.tensor(values, dtype=torch.long) for name, values in columns.items()}
