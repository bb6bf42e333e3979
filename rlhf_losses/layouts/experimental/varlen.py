"""Attention along a prefix tree with a kernel for variable sequence lengths, of torch or flash-attn: one call per row.

Each node is a sequence of queries; its keys are the tokens from the root of the tree to the end of the node. These
kernels align causal attention at the last query and the last key, which is the visibility of a prefix tree. With
bidirectional attention all keys are visible. Intended for GPUs and half precision.
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
from rlhf_losses.layouts.base import HALF_PRECISION, AttentionOptions
from rlhf_losses.layouts.prefix_tree import PrefixTree
from rlhf_losses.layouts.sdpa import attend_sdpa, warn_fallback

Kernel = Callable[..., Any]
"""A function with the signature of torch's `varlen_attn`."""


class Sequences(NamedTuple):
    """Queries and keys of each node.

    Attributes:
        key_indices: indices of the tokens that are keys, node after node; None if the keys of each node are its own
            tokens.
        cu_seqlens_q: cumulative number of queries, shape (node + 1).
        cu_seqlens_k: cumulative number of keys, shape (node + 1).
        max_seqlen_q: largest number of queries of a node.
        max_seqlen_k: largest number of keys of a node.
    """

    key_indices: Tensor | None
    cu_seqlens_q: Tensor
    cu_seqlens_k: Tensor
    max_seqlen_q: int
    max_seqlen_k: int


def attend_varlen(tree: PrefixTree, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
    """Return the attention output of one row with torch's `varlen_attn`. See `TreeAttention`.

    The kernel needs a GPU and half precision, and supports neither dropout nor soft-capped scores. In other cases SDPA
    is used, with a warning.
    """
    return _attend(torch_kernel, tree, query, key, value, options)


def attend_flash_attn(tree: PrefixTree, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
    """Return the attention output of one row with the package flash-attn, under the conditions of `attend_varlen`."""
    return _attend(flash_attn_kernel, tree, query, key, value, options)


def has_flash_attn() -> bool:
    """Return whether the package flash-attn is installed."""
    return find_spec("flash_attn") is not None


def _attend(
    find_kernel: Callable[[], Kernel],
    tree: PrefixTree,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    options: AttentionOptions,
) -> Tensor:
    unsupported = _unsupported(query, options)
    if unsupported is not None:
        warn_fallback(f"Kernels for variable sequence lengths do not support {unsupported}")
        return attend_sdpa(tree, query, key, value, options)
    return attend_with_kernel(find_kernel(), tree, query, key, value, options)


def attend_with_kernel(
    kernel: Kernel, tree: PrefixTree, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions
) -> Tensor:
    """Return the attention output of one row with any kernel for variable sequence lengths.

    Args:
        kernel: a function with the signature of torch's `varlen_attn`.
        tree: see `TreeAttention`, as for the other arguments.
        query: shape (1, heads, tokens, head_dim).
        key: shape (1, key_heads, tokens, head_dim).
        value: shape of `key`.
        options: options of the layer.
    """
    sequences = _cached_sequences(tree, query.device)
    left = -1 if options.sliding_window is None else options.sliding_window - 1
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    if sequences.key_indices is not None:
        k, v = k[sequences.key_indices], v[sequences.key_indices]
    output: Tensor = kernel(
        q.contiguous(), k.contiguous(), v.contiguous(), sequences.cu_seqlens_q, sequences.cu_seqlens_k,
        sequences.max_seqlen_q, sequences.max_seqlen_k, scale=options.scaling,
        window_size=(left, left if tree.bidirectional else 0), enable_gqa=k.shape[1] != q.shape[1],
    )  # fmt: skip
    return output.transpose(0, 1)[None]


@cache
def torch_kernel() -> Kernel:
    """Return torch's `varlen_attn`.

    Raises:
        InvalidSettingError: the installed torch has no such kernel with sliding windows and grouped heads.
    """
    with suppress(ImportError):
        from torch.nn.attention.varlen import varlen_attn

        if {"window_size", "enable_gqa"} <= set(signature(varlen_attn).parameters):
            kernel: Kernel = varlen_attn
            return kernel
    raise InvalidSettingError(
        f"attn_implementation='rlhf_losses_tree_varlen' needs torch's varlen_attn with sliding windows and grouped "
        f"heads, which torch {torch.__version__} does not have. Use attn_implementation='rlhf_losses_tree', or install "
        "a newer torch."
    )


def flash_attn_kernel() -> Kernel:
    """Return the kernel of flash-attn with the signature of torch's `varlen_attn`.

    Raises:
        InvalidSettingError: flash-attn is not installed.
    """
    if not has_flash_attn():
        raise InvalidSettingError(
            "attn_implementation='rlhf_losses_tree_fa2' needs the package flash-attn, which is not installed. "
            "Use attn_implementation='rlhf_losses_tree', or run: pip install flash-attn"
        )
    from flash_attn import flash_attn_varlen_func

    def kernel(
        *tensors_and_lengths: Any, scale: float | None, window_size: tuple[int, int], enable_gqa: bool
    ) -> Tensor:
        # flash-attn infers grouped heads. Since 2.1 it aligns causal attention at the last query and key, as torch.
        output: Tensor = flash_attn_varlen_func(
            *tensors_and_lengths, softmax_scale=scale, causal=window_size[1] == 0, window_size=window_size
        )
        return output

    return kernel


def _unsupported(query: Tensor, options: AttentionOptions) -> str | None:
    if query.device.type != "cuda" or query.dtype not in HALF_PRECISION:
        return f"{query.dtype} on {query.device.type}"
    if options.dropout:
        return "dropout"
    return None if options.softcap is None else "soft-capped scores"


def _cached_sequences(tree: PrefixTree, device: torch.device) -> Sequences:
    if ("sequences", device) not in tree.cache:
        tree.cache["sequences", device] = _sequences_of(tree, device)
    sequences: Sequences = tree.cache["sequences", device]
    return sequences


def _sequences_of(tree: PrefixTree, device: torch.device) -> Sequences:
    keys = [tree.token_indices(node) for node in range(len(tree.sizes))]
    lengths = [len(indices) for indices in keys]
    only_roots = max(tree.parents) < 0
    return Sequences(
        key_indices=None if only_roots else torch.from_numpy(np.concatenate(keys)).to(device),
        cu_seqlens_q=torch.tensor(tree.offsets, dtype=torch.int32, device=device),
        cu_seqlens_k=torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32, device=device),
        max_seqlen_q=max(tree.sizes),
        max_seqlen_k=max(lengths),
    )
