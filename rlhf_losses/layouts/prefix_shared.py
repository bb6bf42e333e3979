"""The prefix-shared layout: texts that begin alike have their common tokens once, at any number of levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from rlhf_losses.layouts.base import Layout, ArrangedTexts, Texts
from rlhf_losses.layouts.packed import row_inputs
from rlhf_losses.layouts.prefix_tree import TokenTree

SHORTEST_SHARED = 8
"""Fewer common tokens than these are repeated: a node costs more than it saves."""


@dataclass(frozen=True)
class PrefixSharedLayout(Layout):
    """One row in which every common beginning stands once, found by comparing token ids.

    >>> layout = PrefixSharedLayout(shortest_shared=1)
    >>> layout.arrange([[5, 6, 7], [5, 6, 8, 9]]).model_inputs["input_ids"].tolist()
    [[5, 6, 7, 8, 9]]
    """

    name: ClassVar[str] = "prefix_shared"
    shortest_shared: int = SHORTEST_SHARED

    def arrange(self, texts: Texts) -> ArrangedTexts:
        """Return `input_ids` and `position_ids` of shape (1, tokens), and the tree of tokens."""
        order = sorted(range(len(texts)), key=lambda i: list(texts[i]))
        nodes = _grow([np.asarray(texts[i], dtype=np.int64) for i in order], self.shortest_shared)
        tree = TokenTree([len(tokens) for tokens in nodes.tokens], nodes.parents)
        places: list[np.ndarray] = [np.zeros(0)] * len(texts)
        for i, last_node in zip(order, nodes.last, strict=True):
            places[i] = tree.places(last_node)
        return ArrangedTexts(row_inputs(np.concatenate(nodes.tokens), tree), places)

    def size(self, texts: Texts) -> int:
        """Return the number of distinct tokens."""
        arrays = [np.asarray(text, dtype=np.int64) for text in sorted(map(list, texts))]
        return sum(len(tokens) for tokens in _grow(arrays, self.shortest_shared).tokens)

    def sort_key(self, texts: Texts) -> list[int]:
        """Texts that begin alike go well together."""
        return min(list(text) for text in texts)


@dataclass
class _Nodes:
    """Nodes in order: their tokens and the node each continues; and the last node of each text."""

    tokens: list[np.ndarray]
    parents: list[int]
    last: list[int]


def _grow(texts: Sequence[np.ndarray], shortest_shared: int) -> _Nodes:
    """Find the common beginnings of sorted texts; neighbours have the most in common."""
    shared = [_common_length(a, b) for a, b in pairwise(texts)]
    nodes = _Nodes([], [], [-1] * len(texts))
    families = [(0, len(texts), 0, -1)] if texts else []
    while families:
        first, stop, depth, parent = families.pop()
        alone = stop - first == 1
        common = len(texts[first]) if alone else min(shared[first : stop - 1])
        if common > depth and (alone or common - depth >= shortest_shared):
            nodes.tokens.append(texts[first][depth:common])
            nodes.parents.append(parent)
            depth, parent = common, len(nodes.tokens) - 1
        if alone:
            nodes.last[first] = parent
            continue
        cuts = [first, *(i + 1 for i in range(first, stop - 1) if shared[i] == common), stop]
        families += [(a, b, depth, parent) for a, b in reversed(list(pairwise(cuts)))]
    return nodes


def _common_length(a: np.ndarray, b: np.ndarray) -> int:
    shorter = min(len(a), len(b))
    differs = a[:shorter] != b[:shorter]
    return int(differs.argmax()) if differs.any() else shorter
