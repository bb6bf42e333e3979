"""Attention along a tree with torch's own kernels: one call a node, or a family of small nodes."""

import logging
from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from rlhf_losses.layouts.base import HALF, AttentionOptions
from rlhf_losses.layouts.prefix_tree import Call, TokenTree

logger = logging.getLogger(__name__)


@torch.compiler.disable
def attend_by_calls(tree: TokenTree, query: Tensor, key: Tensor, value: Tensor, how: AttentionOptions) -> Tensor:
    """Return the attention of a row of shape (1, heads, tokens, dimension), on any device and in any precision."""
    calls = tree.calls(how.window, query.device)
    queries = query.split([call.size for call in calls], dim=2)
    keys, values = key.split(tree.sizes, dim=2), value.split(tree.sizes, dim=2)
    outputs = [
        attend_plainly(
            part, _gather(keys, call), _gather(values, call), call.mask, call.mask is None and not tree.both_ways, how
        )
        for call, part in zip(calls, queries, strict=True)
    ]
    return torch.cat(outputs, dim=2)


@cache
def tell_detour(why: str) -> None:
    """Say once that a row goes call by call, and why the kernel that was asked for does not compute it."""
    logger.warning("Attention: %s; it goes call by call.", why)


def attend_plainly(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, how: AttentionOptions
) -> Tensor:
    """Return ordinary attention under a mask, a causal one or none; the window is the mask's affair."""
    if how.softcap is not None:
        return _attend_capped(query, key, value, mask, causal, how, how.softcap)
    grouped = key.shape[1] != query.shape[1]
    if grouped and not has_kernel_for_groups(query, mask):
        key, value, grouped = *_ungrouped(query, key, value), False
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=how.dropout, is_causal=causal, scale=how.scaling,
        enable_gqa=grouped,
    )  # fmt: skip


def has_kernel_for_groups(query: Tensor, mask: Tensor | None) -> bool:
    """Tell whether a fused kernel lets several heads of queries share one of keys; else torch writes down all scores.

    On GPUs only FlashAttention does, which takes no mask, half precision, and up to 256 dimensions a head.
    """
    return query.device.type != "cuda" or (mask is None and query.dtype in HALF and query.shape[-1] <= 256)


def _ungrouped(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    groups = query.shape[1] // key.shape[1]
    return key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)


def _gather(nodes: Sequence[Tensor], call: Call) -> Tensor:
    return nodes[call.nodes[0]] if len(call.nodes) == 1 else torch.cat([nodes[node] for node in call.nodes], dim=2)


def _attend_capped(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, how: AttentionOptions, softcap: float
) -> Tensor:
    """Attention with scores bent towards +-softcap, which no fused kernel of torch computes."""
    key, value = _ungrouped(query, key, value)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if how.scaling is None else how.scaling)
    scores = softcap * torch.tanh(scores / softcap)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(query.dtype)
    return F.dropout(weights, how.dropout) @ value
