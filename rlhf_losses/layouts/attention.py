"""Attention along a tree of tokens, entered through transformers' `AttentionInterface`.

A model that was given `TREE_ATTENTION` computes ordinary attention as before, and attention along the tree
where its forward is called with `tree=`. Whatever a model tells its attention function and this one does not
know is refused: a layout that cannot be right is not used.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from rlhf_losses.layouts.base import AttentionOptions, TreeAttention, UnsupportedLayout
from rlhf_losses.layouts.experimental.flex import attend_in_one_kernel
from rlhf_losses.layouts.experimental.timing import attend_fastest
from rlhf_losses.layouts.experimental.varlen import attend_by_flash_attn, attend_by_spans
from rlhf_losses.layouts.prefix_tree import TokenTree
from rlhf_losses.layouts.sdpa import attend_by_calls, attend_plainly

TREE_ATTENTION = "rlhf_losses_tree"
"""The name of this function among the attention implementations of transformers: the fastest kernel, see `fastest`.

A model that is loaded with one of the others keeps it.
"""

TREE_CALLS_ATTENTION = "rlhf_losses_tree_calls"
"""The same with torch's fused kernels, call by call: the default on a CPU."""

TREE_FLEX_ATTENTION = "rlhf_losses_tree_flex"
"""The same with FlexAttention, for GPUs."""

TREE_VARLEN_ATTENTION = "rlhf_losses_tree_varlen"
"""The same with torch's kernel for sequences of several lengths, for GPUs and half precision."""

TREE_FLASH_ATTENTION = "rlhf_losses_tree_fa2"
"""The same with the package flash-attn, for GPUs and half precision.

transformers takes every name with "flash" in it for a kernel of its own.
"""

WHOLE_TEXT = "each token sees the whole text, so that a prompt depends on its answer"

HARMLESS = frozenset(
    {
        "cache_position", "logits_to_keep", "output_attentions", "output_hidden_states", "output_router_logits",
        "past_key_values", "position_embeddings", "position_ids", "return_dict", "use_cache",
    }
)  # fmt: skip
"""Arguments that attention functions receive and that change nothing about who attends to whom, or how."""


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    is_causal: bool | None = None,
    tree: TokenTree | None = None,
    along: TreeAttention = attend_fastest,
    **others: Any,
) -> tuple[Tensor, None]:
    """Return the attention output of shape (lines, tokens, heads, dimension)."""
    how = AttentionOptions(scaling, dropout, softcap, sliding_window)
    is_causal_model = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if tree is None:
        causal = is_causal_model and attention_mask is None and query.shape[2] > 1
        output = attend_plainly(query, key, value, attention_mask, causal, how)
    else:
        _require_understood(tree, is_causal_model, others)
        output = along(tree, _in_autocast(query), _in_autocast(key), _in_autocast(value), how)
    return output.transpose(1, 2).contiguous(), None


def _in_autocast(tensor: Tensor) -> Tensor:
    """Return a tensor in the precision in which autocast computes attention; it knows some of the kernels only.

    Rotary positions are float32 there, so that queries and keys arrive in another precision than values.
    """
    device = tensor.device.type
    cast = torch.is_autocast_enabled(device) and tensor.dtype != torch.float64
    return tensor.to(torch.get_autocast_dtype(device)) if cast else tensor


def _require_understood(tree: TokenTree, is_causal_model: bool, others: dict[str, Any]) -> None:
    """Raise `UnsupportedLayout` for attention that looks another way than the tree, or has a part which is not known here."""
    if is_causal_model == tree.both_ways:
        raise UnsupportedLayout("its attention looks only back" if is_causal_model else WHOLE_TEXT)
    unknown = [
        name for name, value in others.items() if value is not None and value is not False and name not in HARMLESS
    ]
    if unknown:
        raise UnsupportedLayout(f"its attention takes {', '.join(sorted(unknown))}, which only its own functions know")


WAYS: dict[str, TreeAttention] = {
    TREE_ATTENTION: attend_fastest,
    TREE_CALLS_ATTENTION: attend_by_calls,
    TREE_FLEX_ATTENTION: attend_in_one_kernel,
    TREE_VARLEN_ATTENTION: attend_by_spans,
    TREE_FLASH_ATTENTION: attend_by_flash_attn,
}
for name, way in WAYS.items():
    AttentionInterface.register(name, partial(attend, along=way))
    AttentionMaskInterface.register(name, AttentionMaskInterface()["sdpa"])
