"""Which rows of a batch meet in one forward pass."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rlhf_losses.layouts import Layout
from rlhf_losses.layouts.base import Texts


@dataclass(frozen=True)
class ForwardPassSplitter:
    """Fill forward passes with rows up to a number of tokens, neighbours in the layout's order first.

    A row that is larger by itself gets a pass of its own.

    Args:
        tokens: the most tokens that a pass computes.
        repeated: the largest share of a row's tokens that may be computed once more because the row begins a new pass,
            away from rows that begin like it; a row that would cost more joins the full pass. 1 cuts always.

    >>> from rlhf_losses.layouts import PackedLayout
    >>> ForwardPassSplitter(tokens=5)(PackedLayout(), [[[1, 2, 3]], [[4, 5]], [[6]]])
    [[0, 1], [2]]
    """

    tokens: int
    repeated: float = 1.0

    def __call__(self, layout: Layout, rows: Sequence[Texts]) -> list[list[int]]:
        """Return the numbers of the rows of each pass; a row is its texts."""
        order = sorted(range(len(rows)), key=lambda number: layout.sort_key(rows[number]))
        passes = []
        while order:
            count = self._first_pass(layout, [rows[number] for number in order])
            passes.append(order[:count])
            order = order[count:]
        return passes

    def _first_pass(self, layout: Layout, rows: Sequence[Texts]) -> int:
        """Return how many of the rows the next pass takes: sizes grow with rows, so by halving."""

        def size(count: int) -> int:
            return layout.size([text for row in rows[:count] for text in row])

        bound = 1
        while bound < len(rows) and size(bound) <= self.tokens:
            bound *= 2
        counts = range(1, min(bound, len(rows)) + 1)
        fitting = max(1, bisect_right(counts, self.tokens, key=size))
        while fitting < len(rows) and self._repeats(layout, rows[fitting - 1], rows[fitting]):
            fitting += 1
        return fitting

    def _repeats(self, layout: Layout, last: Texts, row: Texts) -> bool:
        """Tell whether a cut between two neighbours would compute too much of the second once more."""
        alone = layout.size(row)
        return layout.size(last) + alone - layout.size([*last, *row]) > self.repeated * alone


CPU_SPLITTER = ForwardPassSplitter(tokens=2048, repeated=1 / 8)
"""On a CPU a larger pass is no faster, and its activations are memory that the system hands out page by page, time
and again; on a GPU a larger pass is faster, and its memory is kept."""


def default_splitter(device: torch.device) -> ForwardPassSplitter | None:
    """Return how batches are cut where nobody says: on a CPU so that next to nothing is computed twice, else not."""
    return CPU_SPLITTER if device.type == "cpu" else None
