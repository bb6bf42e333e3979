"""The padded layout: one sequence per text, with padding on the right. The other layouts are tested against it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from rlhf_losses.layouts.base import ArrangedTexts, Layout, Texts


@dataclass(frozen=True)
class PaddedLayout(Layout):
    """One sequence per text, padded on the right to the length of the longest text.

    Args:
        pad_token_id: token id of the padding.
        multiple_of: round the length up to a multiple of this number of tokens.

    Examples:
        >>> PaddedLayout(pad_token_id=0).arrange([[5, 6, 7], [8]]).model_inputs["input_ids"].tolist()
        [[5, 6, 7], [8, 0, 0]]
    """

    name: ClassVar[str] = "padded"
    pad_token_id: int
    multiple_of: int | None = None

    def arrange(self, texts: Texts) -> ArrangedTexts:
        """Return `input_ids` and `attention_mask`, both of shape (text, token)."""
        width = self._width(texts)
        input_ids = torch.full((len(texts), width), self.pad_token_id)
        attention_mask = torch.zeros_like(input_ids)
        for index, ids in enumerate(texts):
            input_ids[index, : len(ids)] = torch.tensor(ids)
            attention_mask[index, : len(ids)] = 1
        token_indices = [index * width + np.arange(len(ids)) for index, ids in enumerate(texts)]
        return ArrangedTexts({"input_ids": input_ids, "attention_mask": attention_mask}, token_indices)

    def size(self, texts: Texts) -> int:
        """Return the number of sequences times their padded length."""
        return len(texts) * self._width(texts)

    def sort_key(self, texts: Texts) -> int:
        """Return the length of the longest text: equal lengths need no padding."""
        return max(len(text) for text in texts)

    def _width(self, texts: Texts) -> int:
        width = max((len(ids) for ids in texts), default=0)
        return width + -width % (self.multiple_of or 1)
