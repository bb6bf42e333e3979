"""Which rows of a batch meet in one forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_losses.layouts import Layout

Texts = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Cut:
    """Fill forward passes with rows up to a number of tokens, neighbours in the layout's order first.

    A row that is larger by itself gets a pass of its own.

    Args:
        tokens: the most tokens that a pass computes.
        repeated: the largest share of a row's tokens that may be computed once more because the row begins a new pass,
            away from rows that begin like it; a row that would cost more joins the full pass. 1 cuts always.

    >>> from rlhf_losses.layouts import PackedLayout
    >>> Cut(tokens=5)(PackedLayout(), [[[1, 2, 3]], [[4, 5]], [[6]]])
    [[0, 1], [2]]
    """

    tokens: int
    repeated: float = 1.0

    def __call__(self, layout: Layout, rows: Sequence[Texts]) -> list[list[int]]:
        """Return the numbers of the rows of each pass; a row is its texts."""
        order = sorted(range(len(rows)), key=lambda number: layout.sort_key(rows[number]))
        passes: list[list[int]] = []
        held: list[Sequence[int]] = []
        size = 0
        for number in order:
            together, alone = layout.size([*held, *rows[number]]), layout.size(rows[number])
            if not passes or (together > self.tokens and size + alone - together <= self.repeated * alone):
                passes.append([])
                held, together = [], alone
            passes[-1].append(number)
            held, size = [*held, *rows[number]], together
        return passes
