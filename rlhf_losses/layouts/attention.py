"""Attention functions for prefix trees, registered with transformers' `AttentionInterface`.

A model with `attn_implementation="rlhf_losses_tree"` computes attention along a prefix tree if its forward is called
with `tree=`, and ordinary attention otherwise. Unknown arguments of an attention layer raise an error, because
ignoring them could give wrong scores.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from rlhf_losses.layouts.base import AttentionOptions, TreeAttention, UnsupportedLayoutError
from rlhf_losses.layouts.prefix_tree import PrefixTree
from rlhf_losses.layouts.sdpa import attend_dense, attend_sdpa

TREE_ATTENTION = "rlhf_losses_tree"
"""Name of the default attention function, which uses SDPA on all devices. The other names begin with it."""

EXPERIMENTAL_TREE_ATTENTIONS = (
    "rlhf_losses_tree_fastest",
    "rlhf_losses_tree_flex",
    "rlhf_losses_tree_varlen",
    "rlhf_losses_tree_fa2",
)
"""Names of the functions in `rlhf_losses.layouts.experimental`. transformers reserves names that contain "flash"."""

BIDIRECTIONAL = "its attention is bidirectional, so a prompt depends on its completion"

IGNORED_ARGUMENTS = frozenset(
    {
        "cache_position", "logits_to_keep", "output_attentions", "output_hidden_states", "output_router_logits",
        "past_key_values", "position_embeddings", "position_ids", "return_dict", "use_cache",
    }
)  # fmt: skip
"""Arguments of attention functions that do not affect the attention output."""


def tree_attention_forward(
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
    tree: PrefixTree | None = None,
    attend: TreeAttention = attend_sdpa,
    **others: Any,
) -> tuple[Tensor, None]:
    """Return the attention output of one layer; the signature is that of transformers' attention functions.

    Args:
        module: the attention layer.
        query: shape (batch, heads, token, head_dim).
        key: shape (batch, key_heads, token, head_dim).
        value: shape of `key`.
        attention_mask: mask of ordinary attention; not used with a tree.
        scaling: see `AttentionOptions`.
        dropout: see `AttentionOptions`.
        sliding_window: see `AttentionOptions`.
        softcap: see `AttentionOptions`.
        is_causal: causal attention; None for the attribute `is_causal` of the layer.
        tree: prefix tree of the row; None for ordinary attention.
        attend: function that computes attention along the tree.
        **others: other arguments of the layer.

    Returns:
        The output of shape (batch, token, heads, head_dim), and None in place of the attention weights.

    Raises:
        UnsupportedLayoutError: the layer is causal and the tree bidirectional or the reverse, or the layer passes an
            unknown argument.
    """
    options = AttentionOptions(scaling, dropout, softcap, sliding_window)
    is_causal_layer = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if tree is None:
        causal = is_causal_layer and attention_mask is None and query.shape[2] > 1
        output = attend_dense(query, key, value, attention_mask, causal, options)
    else:
        _require_supported(tree, is_causal_layer, others)
        output = attend(tree, _autocast(query), _autocast(key), _autocast(value), options)
    return output.transpose(1, 2).contiguous(), None


def _autocast(tensor: Tensor) -> Tensor:
    """Return the tensor in the autocast dtype: torch casts the inputs of some kernels only.

    With rotary embeddings, queries and keys are float32 under autocast while values are not.
    """
    device = tensor.device.type
    cast = torch.is_autocast_enabled(device) and tensor.dtype != torch.float64
    return tensor.to(torch.get_autocast_dtype(device)) if cast else tensor


def _require_supported(tree: PrefixTree, is_causal_layer: bool, others: dict[str, Any]) -> None:
    if is_causal_layer == tree.bidirectional:
        raise UnsupportedLayoutError("its attention is causal" if is_causal_layer else BIDIRECTIONAL)
    given = [name for name, value in others.items() if value is not None and value is not False]
    unknown = sorted(set(given) - IGNORED_ARGUMENTS)
    if unknown:
        raise UnsupportedLayoutError(f"its attention needs {', '.join(unknown)}, which prefix trees do not support")


def _attend_experimental(
    name: str, tree: PrefixTree, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions
) -> Tensor:
    """Call an experimental function; the import is here because the default path does not need the package."""
    from rlhf_losses.layouts.experimental import TREE_ATTENTIONS

    return TREE_ATTENTIONS[name](tree, query, key, value, options)


def _register(name: str, attend: TreeAttention) -> None:
    AttentionInterface.register(name, partial(tree_attention_forward, attend=attend))
    AttentionMaskInterface.register(name, AttentionMaskInterface()["sdpa"])


_register(TREE_ATTENTION, attend_sdpa)
for _name in EXPERIMENTAL_TREE_ATTENTIONS:
    _register(_name, partial(_attend_experimental, _name))
