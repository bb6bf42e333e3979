"""Attention along a tree with a kernel for sequences of several lengths, torch's or flash-attn's: one call a row.

Every node is a sequence of queries, and the tokens from its root to its end are its keys. The kernel lets the last
query see the last key, the one before it the last but one, and so on: that is the tree's rule. Where tokens look both
ways it sees all keys. For GPUs, in half precision.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.layouts.base import HALF, AttentionOptions
from rlhf_losses.layouts.prefix_tree import TokenTree
from rlhf_losses.layouts.sdpa import attend_by_calls, tell_detour

Kernel = Callable[..., Any]
"""Called as torch's `varlen_attn`."""


class Spans(NamedTuple):
    """Where the queries and the keys of each node lie.

    `keys` lists the tokens of the row that are keys, node after node, or is None where each node's are its own. Up to
    `query_ends[i]` and `key_ends[i]` lie those of the first i nodes.
    """

    keys: Tensor | None
    query_ends: Tensor
    key_ends: Tensor
    most_queries: int
    most_keys: int


def attend_by_spans(tree: TokenTree, query: Tensor, key: Tensor, value: Tensor, how: AttentionOptions) -> Tensor:
    """Return the attention of a row of shape (1, heads, tokens, dimension), with torch's kernel.

    What the kernel does not compute (full precision, another device, dropout, bent scores) goes call by call, which
    is the same attention and slower; a line says so once.
    """
    return _attend(kernel_of_torch, tree, query, key, value, how)


def attend_by_flash_attn(tree: TokenTree, query: Tensor, key: Tensor, value: Tensor, how: AttentionOptions) -> Tensor:
    """Return the same with the kernel of the package flash-attn."""
    return _attend(kernel_of_flash_attn, tree, query, key, value, how)


def has_flash_attn() -> bool:
    """Tell whether the package flash-attn is installed."""
    return find_spec("flash_attn") is not None


def _attend(
    find: Callable[[], Kernel], tree: TokenTree, query: Tensor, key: Tensor, value: Tensor, how: AttentionOptions
) -> Tensor:
    missing = _missing(query, how)
    if missing is not None:
        tell_detour(f"kernels for several lengths do not compute {missing}")
        return attend_by_calls(tree, query, key, value, how)
    return attend_with(find(), tree, query, key, value, how)


def attend_with(
    kernel: Kernel, tree: TokenTree, query: Tensor, key: Tensor, value: Tensor, how: AttentionOptions
) -> Tensor:
    """Return the attention of a row with any kernel for sequences of several lengths."""
    spans = _spans(tree, query.device)
    before = -1 if how.window is None else how.window - 1
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    if spans.keys is not None:
        k, v = k[spans.keys], v[spans.keys]
    output = kernel(
        q.contiguous(), k.contiguous(), v.contiguous(), spans.query_ends, spans.key_ends, spans.most_queries,
        spans.most_keys, scale=how.scaling, window_size=(before, before if tree.both_ways else 0),
        enable_gqa=k.shape[1] != q.shape[1],
    )  # fmt: skip
    return output.transpose(0, 1)[None]


@cache
def kernel_of_torch() -> Kernel:
    with suppress(ImportError):
        from torch.nn.attention.varlen import varlen_attn

        if {"window_size", "enable_gqa"} <= set(signature(varlen_attn).parameters):
            return varlen_attn
    raise InvalidSettingError(
        f"torch {torch.__version__} has no kernel for several lengths with windows and grouped heads, which "
        'rlhf_losses_tree_varlen calls. Take attn_implementation="rlhf_losses_tree", or install a newer torch.'
    )


def kernel_of_flash_attn() -> Kernel:
    if not has_flash_attn():
        raise InvalidSettingError(
            "The package flash-attn is not installed, and rlhf_losses_tree_fa2 calls its kernel. "
            'Take attn_implementation="rlhf_losses_tree", or: pip install flash-attn'
        )
    from flash_attn import flash_attn_varlen_func

    def kernel(
        *tensors_and_lengths: Any, scale: float | None, window_size: tuple[int, int], enable_gqa: bool
    ) -> Tensor:
        # It finds grouped heads by itself. Since 2.1 the last query sees the last key, as in torch.
        attention: Tensor = flash_attn_varlen_func(
            *tensors_and_lengths, softmax_scale=scale, causal=window_size[1] == 0, window_size=window_size
        )
        return attention

    return kernel


def _missing(query: Tensor, how: AttentionOptions) -> str | None:
    if query.device.type != "cuda" or query.dtype not in HALF:
        return f"{query.dtype} on {query.device.type}"
    if how.dropout:
        return "dropout"
    return None if how.softcap is None else "soft-capped scores"


def _spans(tree: TokenTree, device: torch.device) -> Spans:
    if ("spans", device) not in tree.kept:
        tree.kept["spans", device] = make_spans(tree, device)
    return tree.kept["spans", device]


def make_spans(tree: TokenTree, device: torch.device) -> Spans:
    """Return the queries and the keys of each node of a tree."""
    places = [tree.places(node) for node in range(len(tree.sizes))]
    lengths = [len(place) for place in places]
    flat = max(tree.parents) < 0
    return Spans(
        keys=None if flat else torch.from_numpy(np.concatenate(places)).to(device),
        query_ends=torch.tensor(tree.starts, dtype=torch.int32, device=device),
        key_ends=torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32, device=device),
        most_queries=max(tree.sizes),
        most_keys=max(lengths),
    )
