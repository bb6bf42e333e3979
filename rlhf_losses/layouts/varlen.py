"""Attention along a tree with torch's kernel for sequences of several lengths: one call for the whole row.

Every node is a sequence of queries, and the tokens from its root to its end are its keys. The kernel lets the last
query see the last key, the one before it the last but one, and so on: that is the tree's rule. Where tokens look both
ways it sees all keys. For GPUs, in half
precision. It is chosen by name, see `attention`.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlhf_losses.errors import UnusableSetting
from rlhf_losses.layouts.base import How
from rlhf_losses.layouts.calls import attend_by_calls
from rlhf_losses.layouts.tree import TokenTree

logger = logging.getLogger(__name__)

Kernel = Callable[..., Any]


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


def attend_by_spans(
    tree: TokenTree, query: Tensor, key: Tensor, value: Tensor, how: How, kernel: Kernel | None = None
) -> Tensor:
    """Return the attention of a row of shape (1, heads, tokens, dimension).

    What the kernel does not compute (full precision, another device, dropout, bent scores) goes call by call, which
    is the same attention and slower; a line says so once.
    """
    missing = _missing(query, how) if kernel is None else None
    if missing is not None:
        _tell_once(missing)
        return attend_by_calls(tree, query, key, value, how)
    spans = _spans(tree, query.device)
    before = -1 if how.window is None else how.window - 1
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    if spans.keys is not None:
        k, v = k[spans.keys], v[spans.keys]
    output = (kernel or _kernel_of_torch())(
        q.contiguous(), k.contiguous(), v.contiguous(), spans.query_ends, spans.key_ends, spans.most_queries,
        spans.most_keys, scale=how.scaling, window_size=(before, before if tree.both_ways else 0),
        enable_gqa=k.shape[1] != q.shape[1],
    )  # fmt: skip
    return output.transpose(0, 1)[None]


@cache
def _kernel_of_torch() -> Kernel:
    with suppress(ImportError):
        from torch.nn.attention.varlen import varlen_attn

        if {"window_size", "enable_gqa"} <= set(signature(varlen_attn).parameters):
            return varlen_attn
    raise UnusableSetting(
        f"torch {torch.__version__} has no kernel for several lengths with windows and grouped heads, which "
        'rlhf_losses_tree_varlen calls. Take attn_implementation="rlhf_losses_tree", or install a newer torch.'
    )


def _missing(query: Tensor, how: How) -> str | None:
    if query.device.type != "cuda" or query.dtype not in (torch.float16, torch.bfloat16):
        return f"{query.dtype} on {query.device.type}"
    if how.dropout:
        return "dropout"
    return None if how.softcap is None else "soft-capped scores"


@cache
def _tell_once(missing: str) -> None:
    logger.warning("Attention: torch's kernel for several lengths does not compute %s; it goes call by call.", missing)


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
