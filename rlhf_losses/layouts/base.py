"""`Layout`: how the texts of one forward pass lie in memory."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlhf_losses.layouts.prefix_tree import TokenTree

Texts = Sequence[Sequence[int]]
HALF = (torch.float16, torch.bfloat16)


@dataclass
class ArrangedTexts:
    """Texts in memory: the arguments of the model's forward, and where each token of each text went.

    `places[i][j]` is the number of the `j`-th token of text `i`, counted along the lines of `input_ids`.
    """

    model_inputs: dict[str, Any]
    places: list[np.ndarray]


class Layout(ABC):
    """Arrange token ids as a model reads them; every layout gives every token the same score."""

    name: ClassVar[str]

    @abstractmethod
    def arrange(self, texts: Texts) -> ArrangedTexts:
        """Return the arguments of one forward pass over `texts`."""

    @abstractmethod
    def size(self, texts: Texts) -> int:
        """Return how many tokens a forward pass over `texts` computes."""

    @abstractmethod
    def sort_key(self, texts: Texts) -> Any:
        """Return a key that sorts groups of texts so that neighbours go well together in one forward pass."""

    def lay_out(self, texts: Texts, score_text: Sequence[int], score_position: Sequence[int]) -> dict[str, Any]:
        """Return `model_inputs`, and in `score_at` the place of each score: a text's number, a position in it.

        Texts that are equal are laid out once. `texts` holds a key of each, and where its tokens are.
        """
        number: dict[tuple[int, ...], int] = {}
        distinct = [number.setdefault(tuple(text), len(number)) for text in texts]
        arrangement = self.arrange([list(text) for text in number])
        read = zip(score_text, score_position, strict=True)
        places = [arrangement.places[distinct[text]][position] for text, position in read]
        score_at = torch.from_numpy(np.array(places, dtype=np.int64))
        keys = [np.array(text, dtype=np.int64).tobytes() for text in number]
        return {
            "model_inputs": arrangement.model_inputs,
            "score_at": score_at,
            "texts": list(zip(keys, arrangement.places, strict=True)),
        }


class AttentionOptions(NamedTuple):
    """What a layer asks of its attention beside who sees whom: a factor on scores, dropout, bent scores, a window."""

    scaling: float | None = None
    dropout: float = 0.0
    softcap: float | None = None
    window: int | None = None


TreeAttention = Callable[[TokenTree, Tensor, Tensor, Tensor, AttentionOptions], Tensor]
"""A way to compute the attention of a row: tree, query, key, value and how, to shape (1, heads, tokens, dimension)."""


class UnsupportedLayout(Exception):
    """Why a model cannot take a layout, as the end of a sentence; the padded layout takes its place."""
