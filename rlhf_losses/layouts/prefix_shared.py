"""The prefix-shared layout: tokens that several texts have in common at their beginning occur once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from rlhf_losses.layouts.base import ArrangedTexts, Layout, Texts
from rlhf_losses.layouts.packed import row_inputs
from rlhf_losses.layouts.prefix_tree import PrefixTree

MIN_SHARED_TOKENS = 8
"""Shorter common prefixes are repeated: the overhead of a node exceeds the saving."""


@dataclass(frozen=True)
class PrefixSharedLayout(Layout):
    """One row in which each common prefix occurs once, at any number of levels. Token ids are compared.

    Args:
        min_shared_tokens: repeat prefixes with fewer tokens.

    Examples:
        >>> layout = PrefixSharedLayout(min_shared_tokens=1)
        >>> layout.arrange([[5, 6, 7], [5, 6, 8, 9]]).model_inputs["input_ids"].tolist()
        [[5, 6, 7, 8, 9]]
    """

    name: ClassVar[str] = "prefix_shared"
    min_shared_tokens: int = MIN_SHARED_TOKENS

    def arrange(self, texts: Texts) -> ArrangedTexts:
        """Return `input_ids` and `position_ids`, both of shape (1, token), and the prefix tree."""
        order = sorted(range(len(texts)), key=lambda i: list(texts[i]))
        nodes = _build_nodes([np.asarray(texts[i], dtype=np.int64) for i in order], self.min_shared_tokens)
        tree = PrefixTree([len(tokens) for tokens in nodes.tokens], nodes.parents)
        token_indices: list[np.ndarray] = [np.zeros(0)] * len(texts)
        for i, last_node in zip(order, nodes.last, strict=True):
            token_indices[i] = tree.token_indices(last_node)
        return ArrangedTexts(row_inputs(np.concatenate(nodes.tokens), tree), token_indices)

    def size(self, texts: Texts) -> int:
        """Return the number of tokens, common prefixes counted once."""
        arrays = [np.asarray(text, dtype=np.int64) for text in sorted(map(list, texts))]
        return sum(len(tokens) for tokens in _build_nodes(arrays, self.min_shared_tokens).tokens)

    def sort_key(self, texts: Texts) -> list[int]:
        """Return the first text in lexicographic order: neighbours share prefixes."""
        return min(list(text) for text in texts)


@dataclass
class _Nodes:
    """Nodes in row order: the tokens and the parent of each, and the last node of each text."""

    tokens: list[np.ndarray]
    parents: list[int]
    last: list[int]


def _build_nodes(texts: Sequence[np.ndarray], min_shared_tokens: int) -> _Nodes:
    """Return the nodes of sorted texts; of all texts, neighbours have the longest common prefixes."""
    shared = [_common_prefix_length(a, b) for a, b in pairwise(texts)]
    nodes = _Nodes([], [], [-1] * len(texts))
    groups = [(0, len(texts), 0, -1)] if texts else []
    while groups:
        first, stop, depth, parent = groups.pop()
        single = stop - first == 1
        common = len(texts[first]) if single else min(shared[first : stop - 1])
        if common > depth and (single or common - depth >= min_shared_tokens):
            nodes.tokens.append(texts[first][depth:common])
            nodes.parents.append(parent)
            depth, parent = common, len(nodes.tokens) - 1
        if single:
            nodes.last[first] = parent
            continue
        bounds = [first, *(i + 1 for i in range(first, stop - 1) if shared[i] == common), stop]
        groups += [(a, b, depth, parent) for a, b in reversed(list(pairwise(bounds)))]
    return nodes


def _common_prefix_length(a: np.ndarray, b: np.ndarray) -> int:
    shorter = min(len(a), len(b))
    differs = a[:shorter] != b[:shorter]
    return int(differs.argmax()) if differs.any() else shorter
