r"""`PrefixTree`: a row of tokens in which texts share their common prefixes.

A node is a run of tokens that one or more texts have in common. Each node is placed in the row after the node that it
continues, its parent, so the subtree of a node is contiguous. Then one index per token defines causal attention: token
q attends to token k if

$$k \le q < \text{visible\_until}[k],$$

where `visible_until[k]` is the end of the subtree of the node of k. Texts without common prefixes form a forest of
single nodes. With bidirectional attention (encoders) no prefixes are shared, and token q attends to token k if both
belong to the same text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

MAX_MERGED_TOKENS = 128
"""Neighbouring nodes with at most this number of tokens together share one attention call, which is faster."""


@dataclass(frozen=True)
class AttentionCall:
    """One call of an attention kernel: the next `num_queries` tokens of the row attend to the tokens of some nodes.

    Attributes:
        num_queries: number of queries; the calls of a tree cover the row in order.
        key_nodes: nodes that hold the keys and values.
        mask: True where a query attends to a key, shape (query, key). None if the queries are the keys, with causal
            or bidirectional attention as in the tree.
    """

    num_queries: int
    key_nodes: tuple[int, ...]
    mask: Tensor | None


class PrefixTree:
    """The nodes of a row of tokens, in row order.

    Args:
        sizes: number of tokens of each node.
        parents: index of the parent of each node, which precedes it; -1 for a root.
        max_merged_tokens: neighbouring nodes with at most this number of tokens together share one attention call.
        bidirectional: attention is bidirectional. Then all nodes are roots.

    Examples:
        >>> prompt_and_two_answers = PrefixTree(sizes=[3, 2, 1], parents=[-1, 0, 0])
        >>> prompt_and_two_answers.positions.tolist()
        [0, 1, 2, 3, 4, 3]
        >>> prompt_and_two_answers.visible_until.tolist()
        [6, 6, 6, 5, 5, 6]
    """

    def __init__(
        self,
        sizes: Sequence[int],
        parents: Sequence[int],
        max_merged_tokens: int = MAX_MERGED_TOKENS,
        bidirectional: bool = False,
    ) -> None:
        self.sizes = list(sizes)
        self.parents = list(parents)
        self.max_merged_tokens = max_merged_tokens
        self.bidirectional = bidirectional
        self.cache: dict[Any, Any] = {}
        """Masks and index tensors of attention kernels, shared by the layers of a forward pass."""

    def to(self, device: Any, **_: Any) -> "PrefixTree":
        """Return the tree itself: masks are created on the device of the queries."""
        return self

    @property
    def num_tokens(self) -> int:
        """Number of tokens of the row."""
        return self.offsets[-1]

    @cached_property
    def offsets(self) -> list[int]:
        """Index of the first token of each node, followed by the number of tokens of the row."""
        return [0, *np.cumsum(self.sizes, dtype=np.int64).tolist()]

    @cached_property
    def paths(self) -> list[tuple[int, ...]]:
        """For each node, the nodes from its root to itself."""
        paths: list[tuple[int, ...]] = []
        for node, parent in enumerate(self.parents):
            paths.append((*(paths[parent] if parent >= 0 else ()), node))
        return paths

    @cached_property
    def subtree_ends(self) -> list[int]:
        """For each node, the index after the last token of its subtree."""
        ends = self.offsets[1:]
        for node in reversed(range(len(self.parents))):
            if self.parents[node] >= 0:
                ends[self.parents[node]] = max(ends[self.parents[node]], ends[node])
        return ends

    @cached_property
    def visible_until(self) -> np.ndarray:
        """For each token, the end of the subtree of its node: later tokens before this index attend to it."""
        return np.repeat(np.array(self.subtree_ends, dtype=np.int64), self.sizes)

    @cached_property
    def positions(self) -> np.ndarray:
        """Position of each token in the texts that contain it."""
        depths = [sum(self.sizes[node] for node in path[:-1]) for path in self.paths]
        parts = [np.arange(depth, depth + size) for depth, size in zip(depths, self.sizes, strict=True)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def token_indices(self, node: int) -> np.ndarray:
        """Return the indices of the tokens from the root to the end of `node`: the text that ends with this node."""
        return np.concatenate([np.arange(self.offsets[n], self.offsets[n + 1]) for n in self.paths[node]])

    def attention_mask(self, queries: np.ndarray, keys: np.ndarray, sliding_window: int | None = None) -> np.ndarray:
        """Return which queries attend to which keys.

        Args:
            queries: indices of tokens.
            keys: indices of tokens.
            sliding_window: number of tokens of the window, in positions of the text.

        Returns:
            Booleans of shape (query, key).
        """
        q, k = queries[:, None], keys[None, :]
        ends = self.visible_until
        mask: np.ndarray = ends[q] == ends[k] if self.bidirectional else (k <= q) & (q < ends[k])
        if sliding_window is not None:
            mask &= abs(self.positions[q] - self.positions[k]) < sliding_window
        return mask

    def attention_calls(self, sliding_window: int | None, device: torch.device) -> list[AttentionCall]:
        """Return kernel calls that together compute the attention of all tokens, in row order.

        Args:
            sliding_window: number of tokens of the window, in positions of the text.
            device: device of the masks.
        """
        entry = ("attention_calls", sliding_window, device)
        if entry not in self.cache:
            self.cache[entry] = [self._call(*nodes, sliding_window, device) for nodes in self._node_ranges()]
        calls: list[AttentionCall] = self.cache[entry]
        return calls

    def _call(self, first: int, last: int, sliding_window: int | None, device: torch.device) -> AttentionCall:
        nodes = (*self.paths[first][:-1], *range(first, last + 1))
        queries = np.arange(self.offsets[first], self.offsets[last + 1])
        if len(nodes) == 1 and (sliding_window is None or sliding_window >= len(queries)):
            return AttentionCall(len(queries), nodes, mask=None)
        keys = np.concatenate([np.arange(self.offsets[node], self.offsets[node + 1]) for node in nodes])
        mask = self.attention_mask(queries, keys, sliding_window)
        return AttentionCall(len(queries), nodes, torch.from_numpy(mask).to(device))

    def _node_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the first and last node of each call: small neighbouring nodes together, a large node alone."""
        first = 0
        while first < len(self.sizes):
            last = first
            while last + 1 < len(self.sizes) and self._share_call(first, last + 1):
                last += 1
            yield first, last
            first = last + 1

    def _share_call(self, first: int, last: int) -> bool:
        is_small = self.offsets[last + 1] - self.offsets[first] <= self.max_merged_tokens
        return is_small and self.paths[last][: len(self.paths[first]) - 1] == self.paths[first][:-1]
