"""Positions that count from the first token of a text, wherever padding stands.

TRL's trainer reads prompts that are padded on the left without telling positions. Rotary models see distances alone;
models with a vector a position, as GPT-2, would read other texts than they wrote.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel

Sequences = Int[Tensor, "completion sequence"]


def positions(attention_mask: Sequences) -> Sequences:
    """Return the position of each token in its text; that of padding does not matter.

    >>> import torch
    >>> positions(torch.tensor([[0, 1, 1], [1, 1, 0]]))
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    return (attention_mask.cumsum(1) - 1).clamp(min=0)


def takes_positions(backbone: nn.Module) -> bool:
    """Return whether a transformer can be told positions."""
    return "position_ids" in inspect.signature(backbone.forward).parameters


@contextmanager
def true_positions(backbone: PreTrainedModel) -> Iterator[None]:
    """Tell a transformer the positions while the context lasts, where its caller does not."""

    def tell(
        _module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if named.get("position_ids") is None and named.get("attention_mask") is not None:
            named["position_ids"] = positions(named["attention_mask"])
        return args, named

    if not takes_positions(backbone):
        yield
        return
    hook = backbone.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
