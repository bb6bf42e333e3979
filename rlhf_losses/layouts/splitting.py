"""`ForwardPassSplitter`: assignment of the rows of a batch to forward passes."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rlhf_losses.layouts.base import Layout, Texts


@dataclass(frozen=True)
class ForwardPassSplitter:
    """Split the rows of a batch into forward passes with a bounded number of tokens.

    Rows are sorted by the key of the layout, so that rows with common prefixes or similar lengths are in one pass. A
    row with more than `max_tokens` tokens is a pass of its own.

    Args:
        max_tokens: maximum number of tokens that a forward pass computes.
        max_repeated: if two neighbouring rows share a prefix and a split between them would repeat more than this share
            of the second row's tokens, the second row is added to the full pass. 1 splits always, and `max_tokens` is
            then a strict bound.

    Examples:
        >>> from rlhf_losses.layouts import PackedLayout
        >>> ForwardPassSplitter(max_tokens=5)(PackedLayout(), [[[1, 2, 3]], [[4, 5]], [[6]]])
        [[0, 1], [2]]
    """

    max_tokens: int
    max_repeated: float = 1.0

    def __call__(self, layout: Layout, rows: Sequence[Texts]) -> list[list[int]]:
        """Return the indices of the rows of each forward pass.

        Args:
            layout: layout of the texts.
            rows: the texts of each row.
        """
        order = sorted(range(len(rows)), key=lambda number: layout.sort_key(rows[number]))
        passes = []
        while order:
            count = self._first_pass(layout, [rows[number] for number in order])
            passes.append(order[:count])
            order = order[count:]
        return passes

    def _first_pass(self, layout: Layout, rows: Sequence[Texts]) -> int:
        """Return the number of rows of the next pass, by bisection: the size grows with the number of rows."""

        def size(count: int) -> int:
            return layout.size([text for row in rows[:count] for text in row])

        bound = 1
        while bound < len(rows) and size(bound) <= self.max_tokens:
            bound *= 2
        counts = range(1, min(bound, len(rows)) + 1)
        fitting = max(1, bisect_right(counts, self.max_tokens, key=size))
        while fitting < len(rows) and self._repeats(layout, rows[fitting - 1], rows[fitting]):
            fitting += 1
        return fitting

    def _repeats(self, layout: Layout, last: Texts, row: Texts) -> bool:
        """Return whether a split between `last` and `row` repeats too many tokens of `row`."""
        alone = layout.size(row)
        return layout.size(last) + alone - layout.size([*last, *row]) > self.max_repeated * alone


CPU_SPLITTER = ForwardPassSplitter(max_tokens=2048, max_repeated=1 / 8)
"""Default on a CPU, where larger passes are not faster and page faults make their activations expensive."""


def default_splitter(device: torch.device) -> ForwardPassSplitter | None:
    """Return the splitter without a user setting: `CPU_SPLITTER` on a CPU, else None (one pass per batch)."""
    return CPU_SPLITTER if device.type == "cpu" else None
