"""Attention along a tree of tokens, entered through transformers' `AttentionInterface`.

A model that was given `TREE_ATTENTION` computes ordinary attention as before, and attention along the tree
where its forward is called with `tree=`. Whatever a model tells its attention function and this one does not
know is refused: a layout that cannot be right is not used.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from rlhf_losses.layouts.base import Unfit
from rlhf_losses.layouts.flex import attend_in_one_kernel
from rlhf_losses.layouts.tree import Call, TokenTree

TREE_ATTENTION = "rlhf_losses_tree"
"""The name of this function among the attention implementations of transformers: torch's kernels, call by call."""

TREE_FLEX_ATTENTION = "rlhf_losses_tree_flex"
"""The same with FlexAttention, for GPUs; a model that is loaded with this `attn_implementation` keeps it."""

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
    flex: bool = False,
    **others: Any,
) -> tuple[Tensor, None]:
    """Return the attention output of shape (lines, tokens, heads, dimension)."""
    if tree is None:
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        causal = causal and attention_mask is None and query.shape[2] > 1
        output = _attend(query, key, value, attention_mask, causal, scaling, dropout, softcap)
        return output.transpose(1, 2).contiguous(), None
    _require_understood(module, is_causal, others)
    if flex and not dropout:
        output = attend_in_one_kernel(tree, query, key, value, sliding_window, scaling, softcap)
        return output.transpose(1, 2).contiguous(), None
    return _along(tree, query, key, value, sliding_window, scaling, dropout, softcap), None


@torch.compiler.disable
def _along(tree: TokenTree, query: Tensor, key: Tensor, value: Tensor, window: int | None, *how: Any) -> Tensor:
    """Compute the attention of one row, call by call."""
    calls = tree.calls(window, query.device)
    queries = query.split([call.size for call in calls], dim=2)
    keys, values = key.split(tree.sizes, dim=2), value.split(tree.sizes, dim=2)
    outputs = [
        _attend(part, _gather(keys, call), _gather(values, call), call.mask, call.mask is None, *how)
        for call, part in zip(calls, queries, strict=True)
    ]
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous()


def _gather(nodes: Sequence[Tensor], call: Call) -> Tensor:
    return nodes[call.nodes[0]] if len(call.nodes) == 1 else torch.cat([nodes[node] for node in call.nodes], dim=2)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: bool,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
) -> Tensor:
    if softcap is not None:
        return _attend_capped(query, key, value, mask, causal, scaling, dropout, softcap)
    grouped = key.shape[1] != query.shape[1]
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scaling, enable_gqa=grouped
    )


def _attend_capped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: bool,
    scaling: float | None,
    dropout: float,
    softcap: float,
) -> Tensor:
    """Attention with scores bent towards +-softcap, which no fused kernel of torch computes."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = softcap * torch.tanh(scores / softcap)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(query.dtype)
    return F.dropout(weights, dropout) @ value


def _require_understood(module: nn.Module, is_causal: bool | None, others: dict[str, Any]) -> None:
    """Raise `Unfit` for attention that looks ahead, or that has a part which is not known here."""
    if is_causal is False or not getattr(module, "is_causal", True):
        raise Unfit("its attention looks ahead, so a prompt depends on its answer")
    unknown = [
        name for name, value in others.items() if value is not None and value is not False and name not in HARMLESS
    ]
    if unknown:
        raise Unfit(f"its attention takes {', '.join(sorted(unknown))}, which only its own functions know")


AttentionInterface.register(TREE_ATTENTION, attend)
AttentionInterface.register(TREE_FLEX_ATTENTION, partial(attend, flex=True))
for name in (TREE_ATTENTION, TREE_FLEX_ATTENTION):
    AttentionMaskInterface.register(name, AttentionMaskInterface()["sdpa"])
