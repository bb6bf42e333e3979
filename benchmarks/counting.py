"""What a piece of work really computes: its multiplications and its tokens, counted while it runs once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, ...]


@dataclass
class Counted:
    """Two operations for every multiplication, and how many tokens were embedded, padding included."""

    operations: int = 0
    tokens: int = 0


def count(work: Callable[[], Any]) -> Counted:
    """Run the work once and count.

    torch counts matrix products, and attention on GPUs, where a causal call counts as if every token saw every other;
    the kernels of a CPU are added here. What other packages and compiled kernels compute (flash-attn, FlexAttention)
    is not seen.

    >>> layer = nn.Linear(4, 8, bias=False)
    >>> count(lambda: layer(torch.ones(3, 4)))
    Counted(operations=192, tokens=0)
    """
    counted = Counted()

    def embed(module: nn.Module, inputs: Any) -> None:
        if isinstance(module, nn.Embedding):
            counted.tokens += inputs[0].numel()

    hook = register_module_forward_pre_hook(embed)
    try:
        with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
            work()
    finally:
        hook.remove()
    counted.operations = counter.get_total_flops()
    return counted


def _attention(query: Shape, key: Shape, value: Shape, dropout: float = 0.0, is_causal: bool = False, **_: Any) -> int:
    """Scores and sums of values; under a mask all are computed, in a causal call those of the tokens seen."""
    texts, heads, asking, width = query
    seen = asking * (asking + 1) // 2 if is_causal else asking * key[2]
    return 2 * texts * heads * seen * (width + value[3])


def _attention_backward(
    gradient: Shape, query: Shape, key: Shape, value: Shape, out: Shape, logsumexp: Shape,
    dropout: float = 0.0, is_causal: bool = False, **_: Any,
) -> int:  # fmt: skip
    """Five products for the forward pass's two: the scores again, and the gradients of all four factors."""
    return _attention(query, key, value, dropout, is_causal) * 5 // 2


ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
