"""The padded layout: one text a line, padding on the right. Plain, and the definition of correct."""

from collections.abc import Sequence

import torch
from torch import Tensor


def pad(texts: Sequence[Sequence[int]], pad_token_id: int, multiple_of: int | None = None) -> dict[str, Tensor]:
    """Return `input_ids` and `attention_mask` of shape (texts, tokens).

    >>> pad([[5, 6, 7], [8]], pad_token_id=0)["input_ids"].tolist()
    [[5, 6, 7], [8, 0, 0]]
    """
    width = max(len(ids) for ids in texts)
    width += -width % (multiple_of or 1)
    input_ids = torch.full((len(texts), width), pad_token_id)
    attention_mask = torch.zeros_like(input_ids)
    for line, ids in enumerate(texts):
        input_ids[line, : len(ids)] = torch.tensor(ids)
        attention_mask[line, : len(ids)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask}
