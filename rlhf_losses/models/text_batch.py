"""`TextBatch`: the input of one forward pass and the tokens at which scores are taken."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlhf_losses.shapes import ScoreIndex


class TextTokens(NamedTuple):
    """The tokens of one distinct text in a batch.

    Attributes:
        key: the token ids as bytes; equal texts have equal keys.
        token_indices: index of each token of the text in the flattened `input_ids`.
    """

    key: bytes
    token_indices: np.ndarray


@dataclass(frozen=True)
class TextBatch:
    """The input of one forward pass over texts in a layout, and the tokens at which scores are taken.

    Attributes:
        model_inputs: keyword arguments of the model's forward.
        score_index: for each score, the index of its token in the flattened `input_ids`.
        texts: the distinct texts of the batch.
    """

    model_inputs: dict[str, Any]
    score_index: ScoreIndex
    texts: tuple[TextTokens, ...] = ()

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> "TextBatch":
        """Return the batch with its tensors on `device`."""
        inputs = {name: value.to(device, non_blocking=non_blocking) for name, value in self.model_inputs.items()}
        score_index = self.score_index.to(device, non_blocking=non_blocking)
        return replace(self, model_inputs=inputs, score_index=score_index)

    def pin_memory(self) -> "TextBatch":
        """Return the batch with its tensors in pinned memory."""
        tensors = {name: value.pin_memory() for name, value in self.model_inputs.items() if isinstance(value, Tensor)}
        return replace(self, model_inputs=self.model_inputs | tensors, score_index=self.score_index.pin_memory())
