"""Attention along a prefix tree with FlexAttention: one kernel for the whole row, which skips masked blocks.

Intended for GPUs, where many small SDPA calls have a high overhead.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from rlhf_losses.layouts.base import AttentionOptions
from rlhf_losses.layouts.prefix_tree import PrefixTree
from rlhf_losses.layouts.sdpa import attend_sdpa, warn_fallback

BLOCK = 128
"""Number of queries and of keys in a block of the mask."""


def attend_flex(tree: PrefixTree, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
    """Return the attention output of one row with FlexAttention. See `TreeAttention`.

    FlexAttention does not support dropout, nor gradients on a CPU. In these cases SDPA is used, with a warning.
    """
    unsupported = _unsupported(query, key, value, options)
    if unsupported is not None:
        warn_fallback(f"FlexAttention does not support {unsupported}")
        return attend_sdpa(tree, query, key, value, options)
    output: Tensor = _kernel(query.device.type)(
        query,
        key,
        value,
        score_mod=None if options.softcap is None else _softcapped(options.softcap),
        block_mask=block_mask(tree, options.sliding_window, query.device),
        scale=options.scaling,
        enable_gqa=key.shape[1] != query.shape[1],
    )
    return output


def _unsupported(query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> str | None:
    if options.dropout:
        return "dropout"
    needs_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    return "gradients on a CPU" if needs_gradient and query.device.type == "cpu" else None


def _softcapped(softcap: float) -> Callable[..., Tensor]:
    def score_mod(score: Tensor, *_: Tensor) -> Tensor:
        return softcap * torch.tanh(score / softcap)

    return score_mod


def block_mask(tree: PrefixTree, sliding_window: int | None, device: torch.device) -> BlockMask:
    """Return the block mask of a tree; all layers of a forward pass share it.

    Args:
        tree: the prefix tree of a row.
        sliding_window: number of tokens of the window, in positions of the text.
        device: device of the mask.
    """
    entry = ("block_mask", sliding_window, device)
    if entry not in tree.cache:
        tree.cache[entry] = _make_block_mask(tree, sliding_window, device)
    mask: BlockMask = tree.cache[entry]
    return mask


def _make_block_mask(tree: PrefixTree, sliding_window: int | None, device: torch.device) -> BlockMask:
    partial, full = _bidirectional_blocks(tree) if tree.bidirectional else _causal_blocks(tree)
    full &= sliding_window is None
    visible_until = torch.from_numpy(tree.visible_until).to(device)
    position = torch.from_numpy(tree.positions).to(device)

    def mask_mod(_batch: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        same_text = visible_until[q] == visible_until[k]
        visible = same_text if tree.bidirectional else (k <= q) & (q < visible_until[k])
        return visible if sliding_window is None else visible & ((position[q] - position[k]).abs() < sliding_window)

    return BlockMask.from_kv_blocks(
        *_block_lists(partial & ~full, device), *_block_lists(full, device), BLOCK_SIZE=BLOCK, mask_mod=mask_mod,
        seq_lengths=(tree.num_tokens, tree.num_tokens),
    )  # fmt: skip


def _causal_blocks(tree: PrefixTree) -> tuple[np.ndarray, np.ndarray]:
    """Return which blocks of keys are visible to which blocks of queries: at least in part, and in full."""
    tokens = tree.num_tokens
    starts = np.arange(0, tokens, BLOCK)
    ends = np.pad(tree.visible_until, (0, -tokens % BLOCK)).reshape(-1, BLOCK)
    before = starts[None, :] < starts[:, None]
    # An earlier block of keys is visible in part if its last subtree ends after the first query.
    partial = before & (ends.max(axis=1)[None, :] > starts[:, None])
    full = partial & (ends.min(axis=1)[None, :] >= np.minimum(starts + BLOCK, tokens)[:, None])
    return partial | np.eye(len(starts), dtype=bool), full


def _bidirectional_blocks(tree: PrefixTree) -> tuple[np.ndarray, np.ndarray]:
    """Return the same for bidirectional attention: blocks with a common text, and blocks inside one text."""
    text = np.repeat(np.arange(len(tree.sizes)), tree.sizes)
    blocks = np.pad(text, (0, -len(text) % BLOCK), mode="edge").reshape(-1, BLOCK)
    first, last = blocks[:, 0], blocks[:, -1]
    partial = (first[:, None] <= last[None, :]) & (first[None, :] <= last[:, None])
    inside_one_text = (first == last) & (np.arange(len(blocks)) < len(text) // BLOCK)
    return partial, partial & inside_one_text[:, None] & inside_one_text[None, :]


def _block_lists(selected: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the number of selected blocks of each row, and the block indices with the selected ones first."""
    order = np.argsort(~selected, axis=1, kind="stable").astype(np.int32)
    counts = selected.sum(axis=1).astype(np.int32)
    return torch.from_numpy(counts)[None, None].to(device), torch.from_numpy(order)[None, None].to(device)


@cache
def _kernel(device: str) -> Any:
    """Return the compiled kernel, or on a CPU, where it has no backward pass, the reference function."""
    return flex_attention if device == "cpu" else torch.compile(flex_attention, dynamic=True)
