"""Rows to a batch: forward passes over texts in a layout, where scores are read, and the feedback on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlhf_losses.batching.rows import KIND_BY_NAME
from rlhf_losses.feedback import Feedback, Lengths, Mixed
from rlhf_losses.layouts import Layout

Row = dict[str, Any]

Pass = dict[str, Any]
"""One forward pass: `rows`, their numbers in the batch; `model_inputs`; for each score `score_at`, the token
where it is read, and `score_row`; `texts`, a key of each and where its tokens are; `prompt_share`, one a row;
`feedback` on the scores; `num_tokens` of all texts."""

Batch = dict[str, Any]
"""`rows` numbers the rows; `passes` holds one `Pass`, or several where a budget of tokens asks for it."""


@dataclass
class Collator:
    """Make a batch of rows that `RowReader.encode` has prepared.

    Args:
        layout: how the texts lie in memory.
        kinds: the kinds of feedback that are read.
        budget: the most tokens of one forward pass; rows beyond it go into further passes. A row that is
            larger by itself gets a pass of its own.
    """

    layout: Layout
    kinds: tuple[type[Feedback], ...]
    budget: int | None = None

    def __call__(self, rows: Sequence[Row]) -> Batch:
        passes = [self._pass(rows, numbers) for numbers in self._cut(rows)]
        return {"rows": torch.arange(len(rows)), "passes": passes}

    def _pass(self, rows: Sequence[Row], numbers: Sequence[int]) -> Pass:
        chosen = [rows[number] for number in numbers]
        texts = [ids for row in chosen for ids in row["text_ids"]]
        text, position, owner = _scores(chosen)
        return {
            "rows": torch.tensor(numbers),
            **self.layout.lay_out(texts, text, position),
            "score_row": torch.tensor(owner, dtype=torch.long),
            "prompt_share": torch.tensor([row.get("prompt_share", 1.0) for row in chosen]),
            "feedback": self._feedback(chosen),
            "num_tokens": torch.tensor(sum(len(ids) for ids in texts)),
        }

    def _cut(self, rows: Sequence[Row]) -> list[list[int]]:
        """Fill forward passes with rows, neighbours in the layout's order first."""
        if self.budget is None:
            return [list(range(len(rows)))]
        order = sorted(range(len(rows)), key=lambda number: self.layout.sort_key(rows[number]["text_ids"]))
        passes: list[list[int]] = []
        texts: list[list[int]] = []
        for number in order:
            together = texts + rows[number]["text_ids"]
            if not passes or self.layout.size(together) > self.budget:
                passes.append([])
                together = rows[number]["text_ids"]
            passes[-1].append(number)
            texts = together
        return passes

    def _feedback(self, rows: Sequence[Row]) -> Mixed:
        parts: list[Feedback] = [kind.concatenate([]) for kind in self.kinds]
        first = 0
        for row in rows:
            kinds = [KIND_BY_NAME[name] for name in row["kinds"]]
            parts.append(Mixed.of_kinds(row, kinds).reindexed(torch.tensor(row["score_of"], dtype=torch.long) + first))
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
