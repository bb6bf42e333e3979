"""`BatchedForward`: forward passes over any number of tokenized texts, each distinct text once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.layouts import Layout, TextBatch
from rlhf_losses.layouts.splitting import default_splitter
from rlhf_losses.models.architectures import longrope_threshold

Forward = Callable[[nn.Module, TextBatch], tuple[Tensor, ...]]
"""One forward pass; each tensor has one row per score."""


@dataclass
class BatchedForward:
    """Runs a reward model without gradients on texts that are sorted by length and divided into batches.

    Args:
        model: the reward model.
        layout: layout of the texts in a forward pass.
        batch_size: largest number of texts in one forward pass.
    """

    model: PreTrainedModel
    layout: Layout
    batch_size: int

    @torch.no_grad()
    def run(self, texts: Sequence[Encoded], forward: Forward) -> list[tuple[Tensor, ...]]:
        """Return the result of `forward` at the positions of each text; equal texts are computed once."""
        distinct = {(tuple(text.ids), text.positions): text for text in texts}
        found: dict[Any, tuple[Tensor, ...]] = {}
        threshold = longrope_threshold(self.model.config)
        short, long = [[key for key in distinct if (len(key[0]) > threshold) is side] for side in (False, True)]
        for keys in [*self._batches(short), *self._batches(long)]:
            found |= zip(keys, self._forward([distinct[key] for key in keys], forward), strict=True)
        return [found[tuple(text.ids), text.positions] for text in texts]

    def _batches(self, keys: list[Any]) -> Iterator[list[Any]]:
        keys = sorted(keys, key=lambda key: self.layout.sort_key([key[0]]))
        split = default_splitter(self.model.device)
        for start in range(0, len(keys), self.batch_size):
            chosen = keys[start : start + self.batch_size]
            passes = split(self.layout, [[key[0]] for key in chosen]) if split else [range(len(chosen))]
            yield from ([chosen[index] for index in indices] for indices in passes)

    def _forward(self, texts: Sequence[Encoded], forward: Forward) -> list[tuple[Tensor, ...]]:
        counts = [len(text.positions) for text in texts]
        score_text = [index for index, count in enumerate(counts) for _ in range(count)]
        positions = [position for text in texts for position in text.positions]
        batch = self.layout.batch([text.ids for text in texts], score_text, positions)
        was_training = self.model.training
        self.model.eval()
        found = forward(self.model, batch.to(self.model.device))
        self.model.train(was_training)
        return list(zip(*(torch.split(values.cpu(), counts) for values in found), strict=True))
