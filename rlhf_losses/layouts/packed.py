"""The packed layout: all texts in one row, without padding."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from rlhf_losses.layouts.base import ArrangedTexts, Layout, Texts
from rlhf_losses.layouts.prefix_tree import PrefixTree


@dataclass(frozen=True)
class PackedLayout(Layout):
    """All texts in one row. Attention stays within a text, and the position ids of each text start anew.

    Args:
        bidirectional: a token attends to all tokens of its text, as in encoders; else to earlier tokens only.
        first_position: position id of the first token of a text.

    Examples:
        >>> PackedLayout().arrange([[5, 6, 7], [8]]).model_inputs["position_ids"].tolist()
        [[0, 1, 2, 0]]
    """

    name: ClassVar[str] = "packed"
    bidirectional: bool = False
    first_position: int = 0

    def arrange(self, texts: Texts) -> ArrangedTexts:
        """Return `input_ids` and `position_ids`, both of shape (1, token), and the prefix tree."""
        tree = PrefixTree([len(text) for text in texts], [-1] * len(texts), bidirectional=self.bidirectional)
        tokens = np.concatenate([np.asarray(text, dtype=np.int64) for text in texts])
        token_indices = [tree.token_indices(node) for node in range(len(texts))]
        inputs = row_inputs(tokens, tree)
        if self.first_position:
            position_ids = [_roberta_position_ids(tokens[i], self.first_position - 1) for i in token_indices]
            inputs["position_ids"] = torch.from_numpy(np.concatenate(position_ids))[None]
        return ArrangedTexts(inputs, token_indices)

    def size(self, texts: Texts) -> int:
        """Return the number of tokens."""
        return sum(len(text) for text in texts)

    def sort_key(self, texts: Texts) -> int:
        """Return a constant: the order of the texts does not matter."""
        return 0


def _roberta_position_ids(text: np.ndarray, padding_idx: int) -> np.ndarray:
    """Return position ids from `padding_idx + 1`; padding tokens inside a text have the id `padding_idx`."""
    counted = text != padding_idx
    position_ids: np.ndarray = np.cumsum(counted) * counted + padding_idx
    return position_ids


def row_inputs(tokens: np.ndarray, tree: PrefixTree) -> dict[str, Any]:
    """Return the keyword arguments of a forward pass over one row of tokens.

    The attention mask is a placeholder with four dimensions, which models pass to the attention function unchanged. The
    prefix tree replaces it, so no mask of shape (token, token) is allocated.

    Args:
        tokens: token ids of the row, shape (token,).
        tree: the prefix tree of the row.
    """
    return {
        "input_ids": torch.from_numpy(tokens)[None],
        "position_ids": torch.from_numpy(tree.positions)[None],
        "attention_mask": torch.ones(1, 1, 1, 1, dtype=torch.bool),
        "tree": tree,
    }
