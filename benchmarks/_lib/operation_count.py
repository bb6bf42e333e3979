"""Number of floating-point operations and tokens of a piece of code, counted during one run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, ...]


@dataclass
class OperationCount:
    """Operations and tokens of a run.

    Attributes:
        operations: floating-point operations, two for each multiplication.
        tokens: tokens that pass through an embedding, including padding.
    """

    operations: int = 0
    tokens: int = 0


def count_operations(function: Callable[[], Any]) -> OperationCount:
    """Call a function and count its operations.

    torch counts matrix products, and attention on GPUs, where a causal call counts as if every token attended to all
    tokens. Attention on a CPU is added here. Operations of other packages and of compiled kernels (flash-attn,
    FlexAttention) are not counted.

    Examples:
        >>> layer = nn.Linear(4, 8, bias=False)
        >>> count_operations(lambda: layer(torch.ones(3, 4)))
        OperationCount(operations=192, tokens=0)
    """
    count = OperationCount()

    def count_tokens(module: nn.Module, inputs: Any) -> None:
        if isinstance(module, nn.Embedding):
            count.tokens += inputs[0].numel()

    hook = register_module_forward_pre_hook(count_tokens)
    try:
        with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
            function()
    finally:
        hook.remove()
    count.operations = counter.get_total_flops()
    return count


def _attention(query: Shape, key: Shape, value: Shape, dropout: float = 0.0, is_causal: bool = False, **_: Any) -> int:
    """Attention scores and weighted sums; with a mask over all pairs of tokens, in a causal call over half of them."""
    texts, heads, queries, width = query
    attended = queries * (queries + 1) // 2 if is_causal else queries * key[2]
    return 2 * texts * heads * attended * (width + value[3])


def _attention_backward(
    gradient: Shape, query: Shape, key: Shape, value: Shape, out: Shape, logsumexp: Shape,
    dropout: float = 0.0, is_causal: bool = False, **_: Any,
) -> int:  # fmt: skip
    """Five products instead of two: the attention scores again, and the gradients of four factors."""
    return _attention(query, key, value, dropout, is_causal) * 5 // 2


CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
