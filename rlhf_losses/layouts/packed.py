"""The packed layout: one text after another in a single row, without padding."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from rlhf_losses.layouts.base import Layout, ArrangedTexts, Texts
from rlhf_losses.layouts.prefix_tree import TokenTree


@dataclass(frozen=True)
class PackedLayout(Layout):
    """All texts in one row; no text sees another, and each counts its positions from the first one.

    In an encoder tokens look both ways, and see all of their text.

    >>> PackedLayout().arrange([[5, 6, 7], [8]]).model_inputs["position_ids"].tolist()
    [[0, 1, 2, 0]]
    """

    name: ClassVar[str] = "packed"
    both_ways: bool = False
    first_position: int = 0

    def arrange(self, texts: Texts) -> ArrangedTexts:
        """Return `input_ids` and `position_ids` of shape (1, tokens), and the tree of tokens."""
        tree = TokenTree([len(text) for text in texts], [-1] * len(texts), both_ways=self.both_ways)
        tokens = np.concatenate([np.asarray(text, dtype=np.int64) for text in texts])
        places = [tree.places(node) for node in range(len(texts))]
        inputs = row_inputs(tokens, tree)
        if self.first_position:
            counted = [_positions_after_padding(tokens[at], self.first_position - 1) for at in places]
            inputs["position_ids"] = torch.from_numpy(np.concatenate(counted))[None]
        return ArrangedTexts(inputs, places)

    def size(self, texts: Texts) -> int:
        """Return the number of tokens."""
        return sum(len(text) for text in texts)

    def sort_key(self, texts: Texts) -> int:
        """Any texts go well together, in the order in which they come."""
        return 0


def _positions_after_padding(text: np.ndarray, padding: int) -> np.ndarray:
    """Return positions as RoBERTa counts them: tokens from `padding` + 1; a padding token in a text counts for none."""
    counts = text != padding
    return np.cumsum(counts) * counts + padding


def row_inputs(tokens: np.ndarray, tree: TokenTree) -> dict[str, Any]:
    """Return the arguments of a forward pass over one row of tokens.

    The attention mask is a placeholder of four dimensions, which models hand on as it is: who sees whom is in
    the tree, and a mask of tokens by tokens is never made.
    """
    return {
        "input_ids": torch.from_numpy(tokens)[None],
        "position_ids": torch.from_numpy(tree.positions)[None],
        "attention_mask": torch.ones(1, 1, 1, 1, dtype=torch.bool),
        "tree": tree,
    }
