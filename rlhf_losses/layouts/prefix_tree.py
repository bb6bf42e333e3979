"""`TokenTree`: texts that begin alike as one row of tokens, every shared beginning once.

The row holds nodes, runs of tokens that one or more texts have in common; a node stands after the nodes
that it continues. Who may attend to whom is then one rule with two numbers: token q sees token k where

    k <= q < reach[k],

`reach[k]` being the end of everything that continues k's node. Texts that share nothing are a tree too. In an encoder
tokens look both ways, so that texts cannot share anything: token q sees token k where they are of one text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

DENSE = 128
"""Up to so many tokens, small nodes are attended to together: fewer, larger calls are faster."""


@dataclass(frozen=True)
class Call:
    """One call of an attention kernel: the next `size` tokens of the row look at the tokens of some nodes.

    `mask` is True where a query sees a key; None means as the tree looks, with as many keys as queries.
    """

    size: int
    nodes: tuple[int, ...]
    mask: Tensor | None


class TokenTree:
    """The nodes of a row, in order: how many tokens each has, and which node it continues (-1: none).

    Where tokens look `both_ways`, no node continues another.

    >>> prompt_and_two_answers = TokenTree(sizes=[3, 2, 1], parents=[-1, 0, 0])
    >>> prompt_and_two_answers.positions.tolist()
    [0, 1, 2, 3, 4, 3]
    >>> prompt_and_two_answers.reach.tolist()
    [6, 6, 6, 5, 5, 6]
    """

    def __init__(
        self, sizes: Sequence[int], parents: Sequence[int], dense: int = DENSE, both_ways: bool = False
    ) -> None:
        self.sizes = list(sizes)
        self.parents = list(parents)
        self.dense = dense
        self.both_ways = both_ways
        self.kept: dict[Any, Any] = {}

    def to(self, device: Any, **_: Any) -> "TokenTree":
        """Return itself: its masks are made on the device that asks for them."""
        return self

    @cached_property
    def starts(self) -> list[int]:
        """Where each node begins in the row, and at last where the row ends."""
        return [0, *np.cumsum(self.sizes, dtype=np.int64).tolist()]

    @cached_property
    def paths(self) -> list[tuple[int, ...]]:
        """The nodes that a text passes to the end of each node, from its root."""
        paths: list[tuple[int, ...]] = []
        for node, parent in enumerate(self.parents):
            paths.append((*(paths[parent] if parent >= 0 else ()), node))
        return paths

    @cached_property
    def ends(self) -> list[int]:
        """Where everything that continues each node ends in the row."""
        ends = self.starts[1:]
        for node in reversed(range(len(self.parents))):
            if self.parents[node] >= 0:
                ends[self.parents[node]] = max(ends[self.parents[node]], ends[node])
        return ends

    @cached_property
    def reach(self) -> np.ndarray:
        """Up to where in the row each token is seen."""
        return np.repeat(np.array(self.ends, dtype=np.int64), self.sizes)

    @cached_property
    def positions(self) -> np.ndarray:
        """The position of each token in the texts that it belongs to."""
        depths = [sum(self.sizes[node] for node in path[:-1]) for path in self.paths]
        parts = [np.arange(depth, depth + size) for depth, size in zip(depths, self.sizes, strict=True)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def places(self, node: int) -> np.ndarray:
        """Return where in the row the tokens of a text are that ends with `node`."""
        return np.concatenate([np.arange(self.starts[n], self.starts[n] + self.sizes[n]) for n in self.paths[node]])

    def visible(self, queries: np.ndarray, keys: np.ndarray, window: int | None = None) -> np.ndarray:
        """Return which query sees which key, under a sliding window of so many tokens if one is given."""
        q, k = queries[:, None], keys[None, :]
        seen = self.reach[q] == self.reach[k] if self.both_ways else (k <= q) & (q < self.reach[k])
        if window is not None:
            seen &= abs(self.positions[q] - self.positions[k]) < window
        return seen

    def calls(self, window: int | None, device: torch.device) -> list[Call]:
        """Return kernel calls that together compute the attention of every token, in order."""
        if ("calls", window, device) not in self.kept:
            self.kept["calls", window, device] = [self._call(*run, window, device) for run in self._runs()]
        calls: list[Call] = self.kept["calls", window, device]
        return calls

    def _call(self, first: int, last: int, window: int | None, device: torch.device) -> Call:
        nodes = (*self.paths[first][:-1], *range(first, last + 1))
        queries = np.arange(self.starts[first], self.starts[last + 1])
        if len(nodes) == 1 and (window is None or window >= len(queries)):
            return Call(len(queries), nodes, mask=None)
        keys = np.concatenate([np.arange(self.starts[node], self.starts[node + 1]) for node in nodes])
        return Call(len(queries), nodes, torch.from_numpy(self.visible(queries, keys, window)).to(device))

    def _runs(self) -> Iterator[tuple[int, int]]:
        """ForwardPassSplitter the row into runs of nodes: a small family of nodes together, a large node alone."""
        node = 0
        while node < len(self.sizes):
            last = node
            while last + 1 < len(self.sizes) and self._one_call(node, last + 1):
                last += 1
            yield node, last
            node = last + 1

    def _one_call(self, first: int, last: int) -> bool:
        small = self.starts[last + 1] - self.starts[first] <= self.dense
        return small and self.paths[last][: len(self.paths[first]) - 1] == self.paths[first][:-1]
