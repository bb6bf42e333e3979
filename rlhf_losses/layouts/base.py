"""`Layout`: arrangement of the texts of one forward pass; `TreeAttention`: attention along a prefix tree."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from rlhf_losses.layouts.prefix_tree import PrefixTree
from rlhf_losses.models.text_batch import TextBatch as TextBatch
from rlhf_losses.models.text_batch import TextTokens

Texts = Sequence[Sequence[int]]
"""Token ids of several texts."""

HALF_PRECISION = (torch.float16, torch.bfloat16)


@dataclass
class ArrangedTexts:
    """The input of one forward pass, and the index of each token of each text.

    Attributes:
        model_inputs: keyword arguments of the model's forward.
        token_indices: `token_indices[i][j]` is the index of token `j` of text `i` in the flattened `input_ids`.
    """

    model_inputs: dict[str, Any]
    token_indices: list[np.ndarray]


class Layout(ABC):
    """Arrangement of token ids as the input of a forward pass. All layouts give a token the same score."""

    name: ClassVar[str]

    @abstractmethod
    def arrange(self, texts: Texts) -> ArrangedTexts:
        """Return the input of one forward pass over `texts`."""

    @abstractmethod
    def size(self, texts: Texts) -> int:
        """Return the number of tokens that a forward pass over `texts` computes."""

    @abstractmethod
    def sort_key(self, texts: Texts) -> Any:
        """Return a key; groups of texts with neighbouring keys are efficient in one forward pass."""

    def batch(self, texts: Texts, score_text: Sequence[int], score_position: Sequence[int]) -> TextBatch:
        """Return the input of one forward pass in which equal texts occur once, and the tokens of the scores.

        Args:
            texts: token ids of each text.
            score_text: for each score, the index of its text.
            score_position: for each score, the position of its token in that text.

        Examples:
            >>> from rlhf_losses.layouts import PackedLayout
            >>> batch = PackedLayout().batch([[5, 6], [7], [5, 6]], score_text=[0, 1, 2], score_position=[1, 0, 1])
            >>> batch.model_inputs["input_ids"]
            tensor([[5, 6, 7]])
            >>> batch.score_index
            tensor([1, 2, 1])
        """
        numbers: dict[tuple[int, ...], int] = {}
        distinct = [numbers.setdefault(tuple(text), len(numbers)) for text in texts]
        arranged = self.arrange([list(text) for text in numbers])
        scored = zip(score_text, score_position, strict=True)
        indices = [arranged.token_indices[distinct[text]][position] for text, position in scored]
        keys = [np.array(text, dtype=np.int64).tobytes() for text in numbers]
        return TextBatch(
            model_inputs=arranged.model_inputs,
            score_index=torch.from_numpy(np.array(indices, dtype=np.int64)),
            texts=tuple(map(TextTokens, keys, arranged.token_indices)),
        )


class AttentionOptions(NamedTuple):
    """Options of an attention layer.

    Attributes:
        scaling: factor of the attention scores; None for `head_dim ** -0.5`.
        dropout: dropout rate of the attention weights.
        softcap: bound `c` of soft-capped scores `c * tanh(score / c)`; None for no bound.
        sliding_window: number of tokens of the window, in positions of the text; None for no window.
    """

    scaling: float | None = None
    dropout: float = 0.0
    softcap: float | None = None
    sliding_window: int | None = None


class TreeAttention(Protocol):
    """A function that computes the attention of one row of tokens along a prefix tree."""

    def __call__(
        self, tree: PrefixTree, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions, /
    ) -> Tensor:
        """Return the attention output, shape (1, heads, tokens, head_dim).

        Args:
            tree: the prefix tree of the row.
            query: shape (1, heads, tokens, head_dim).
            key: shape (1, key_heads, tokens, head_dim); `key_heads` divides `heads`.
            value: shape of `key`.
            options: options of the layer.
        """


class UnsupportedLayoutError(Exception):
    """A model does not support a layout. The message is the reason, as the end of a sentence."""
