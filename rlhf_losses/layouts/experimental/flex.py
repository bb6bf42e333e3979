"""Attention along a tree with FlexAttention: one kernel for the whole row, which skips blocks that see nothing.

For GPUs, where many small calls cost more than they save.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from rlhf_losses.layouts.base import AttentionOptions
from rlhf_losses.layouts.prefix_tree import TokenTree
from rlhf_losses.layouts.sdpa import attend_by_calls, tell_detour

BLOCK = 128
"""Tokens a block of the kernel, in both directions."""


def attend_in_one_kernel(tree: TokenTree, query: Tensor, key: Tensor, value: Tensor, how: AttentionOptions) -> Tensor:
    """Return the attention of a row of shape (1, heads, tokens, dimension).

    FlexAttention knows no dropout, and on a CPU no backward pass: that is computed call by call, which is the same
    attention and slower; a line says so once.
    """
    missing = _missing(query, key, value, how)
    if missing is not None:
        tell_detour(f"FlexAttention does not compute {missing}")
        return attend_by_calls(tree, query, key, value, how)
    return _kernel(query.device.type)(
        query,
        key,
        value,
        score_mod=None if how.softcap is None else _capped(how.softcap),
        block_mask=block_mask(tree, how.window, query.device),
        scale=how.scaling,
        enable_gqa=key.shape[1] != query.shape[1],
    )


def _missing(query: Tensor, key: Tensor, value: Tensor, how: AttentionOptions) -> str | None:
    if how.dropout:
        return "dropout"
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    return "gradients on a CPU" if learns and query.device.type == "cpu" else None


def _capped(softcap: float) -> Callable[..., Tensor]:
    def bend(score: Tensor, *_: Tensor) -> Tensor:
        return softcap * torch.tanh(score / softcap)

    return bend


def block_mask(tree: TokenTree, window: int | None, device: torch.device) -> BlockMask:
    """Return which blocks of keys each block of queries looks at; it is made once for all layers of a pass."""
    if ("blocks", window, device) not in tree.kept:
        tree.kept["blocks", window, device] = _make_block_mask(tree, window, device)
    return tree.kept["blocks", window, device]


def _make_block_mask(tree: TokenTree, window: int | None, device: torch.device) -> BlockMask:
    tokens = len(tree.reach)
    partly, wholly = _own_text(tree) if tree.both_ways else _earlier(tree)
    wholly &= window is None
    reach_of = torch.from_numpy(tree.reach).to(device)
    position = torch.from_numpy(tree.positions).to(device)

    def visible(_batch: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        seen = reach_of[q] == reach_of[k] if tree.both_ways else (k <= q) & (q < reach_of[k])
        return seen if window is None else seen & ((position[q] - position[k]).abs() < window)

    return BlockMask.from_kv_blocks(
        *_listed(partly & ~wholly, device), *_listed(wholly, device), BLOCK_SIZE=BLOCK, mask_mod=visible,
        seq_lengths=(tokens, tokens),
    )  # fmt: skip


def _earlier(tree: TokenTree) -> tuple[np.ndarray, np.ndarray]:
    """Return which blocks of keys blocks of queries see, at least in part and wholly, where tokens look back."""
    tokens = len(tree.reach)
    starts = np.arange(0, tokens, BLOCK)
    reach = np.pad(tree.reach, (0, -tokens % BLOCK)).reshape(-1, BLOCK)
    before = starts[None, :] < starts[:, None]
    # Keys of an earlier block are seen in part if the farthest is_convertible_to into the block of queries.
    partly = before & (reach.max(axis=1)[None, :] > starts[:, None])
    wholly = partly & (reach.min(axis=1)[None, :] >= np.minimum(starts + BLOCK, tokens)[:, None])
    return partly | np.eye(len(starts), dtype=bool), wholly


def _own_text(tree: TokenTree) -> tuple[np.ndarray, np.ndarray]:
    """Return the same where tokens look both ways: blocks with a text in common, and blocks within one text."""
    text = np.repeat(np.arange(len(tree.sizes)), tree.sizes)
    blocks = np.pad(text, (0, -len(text) % BLOCK), mode="edge").reshape(-1, BLOCK)
    first, last = blocks[:, 0], blocks[:, -1]
    partly = (first[:, None] <= last[None, :]) & (first[None, :] <= last[:, None])
    full = (first == last) & (np.arange(len(blocks)) < len(text) // BLOCK)
    return partly, partly & full[:, None] & full[None, :]


def _listed(chosen: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return how many blocks each row chooses, and which, the chosen ones first."""
    order = np.argsort(~chosen, axis=1, kind="stable").astype(np.int32)
    counts = chosen.sum(axis=1).astype(np.int32)
    return torch.from_numpy(counts)[None, None].to(device), torch.from_numpy(order)[None, None].to(device)


@cache
def _kernel(device: str) -> Any:
    """Return the compiled kernel; on a CPU, where it has no backward pass, the plain one that it was made from."""
    return flex_attention if device == "cpu" else torch.compile(flex_attention, dynamic=True)
