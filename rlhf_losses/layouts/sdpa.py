"""Attention along a prefix tree with `torch.nn.functional.scaled_dot_product_attention`, one call per node."""

import logging
from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from rlhf_losses.layouts.base import HALF_PRECISION, AttentionOptions
from rlhf_losses.layouts.prefix_tree import AttentionCall, PrefixTree
from rlhf_losses.models.compilation import without_compilation

logger = logging.getLogger(__name__)


@without_compilation
def attend_sdpa(tree: PrefixTree, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
    """Return the attention output of one row, on any device and in any dtype. See `TreeAttention`."""
    calls = tree.attention_calls(options.sliding_window, query.device)
    queries = torch.split(query, [call.num_queries for call in calls], dim=2)
    keys, values = torch.split(key, tree.sizes, dim=2), torch.split(value, tree.sizes, dim=2)
    outputs = []
    for call, part in zip(calls, queries, strict=True):
        call_keys, call_values = _concatenate(keys, call), _concatenate(values, call)
        is_causal = call.mask is None and not tree.bidirectional
        outputs.append(attend_dense(part, call_keys, call_values, call.mask, is_causal, options))
    return torch.cat(outputs, dim=2)


def _concatenate(nodes: Sequence[Tensor], call: AttentionCall) -> Tensor:
    selected = [nodes[node] for node in call.key_nodes]
    return selected[0] if len(selected) == 1 else torch.cat(selected, dim=2)


@cache
def warn_fallback(reason: str) -> None:
    """Log once per reason that a requested kernel is replaced by SDPA.

    Args:
        reason: a sentence without a full stop.
    """
    logger.warning("Attention: %s. SDPA is used instead, with the same result and lower speed.", reason)


def attend_dense(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool, options: AttentionOptions
) -> Tensor:
    """Return ordinary attention, without a prefix tree.

    Args:
        query: shape (batch, heads, query, head_dim).
        key: shape (batch, key_heads, key, head_dim).
        value: shape of `key`.
        mask: True where a query attends to a key, or a float bias; includes the sliding window. None for no mask.
        is_causal: causal attention; only without a mask.
        options: options of the layer; `sliding_window` is ignored.
    """
    if options.softcap is not None:
        return _attend_softcapped(query, key, value, mask, is_causal, options, options.softcap)
    grouped = key.shape[1] != query.shape[1]
    if grouped and not has_fused_gqa_kernel(query, mask):
        key, value, grouped = *_repeat_kv(query, key, value), False
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=options.dropout, is_causal=is_causal, scale=options.scaling,
        enable_gqa=grouped,
    )  # fmt: skip


def has_fused_gqa_kernel(query: Tensor, mask: Tensor | None) -> bool:
    """Return whether a fused kernel supports grouped-query attention; without one, torch allocates all scores.

    On CUDA only FlashAttention does: in half precision, without a mask and with a head_dim of at most 256.

    Args:
        query: the queries.
        mask: the attention mask, or None.
    """
    return query.device.type != "cuda" or (mask is None and query.dtype in HALF_PRECISION and query.shape[-1] <= 256)


def _repeat_kv(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    groups = query.shape[1] // key.shape[1]
    return key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)


def _attend_softcapped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    options: AttentionOptions,
    softcap: float,
) -> Tensor:
    """Return attention with soft-capped scores, which no fused kernel of torch supports."""
    key, value = _repeat_kv(query, key, value)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if options.scaling is None else options.scaling)
    scores = softcap * torch.tanh(scores / softcap)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(query.dtype)
    return F.dropout(weights, options.dropout) @ value
