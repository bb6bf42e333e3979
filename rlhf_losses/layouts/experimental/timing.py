"""Attention along a tree by the kernel that is fastest where it runs: measured once, on the batch that is there.

Which kernel that is depends on the device, the precision, the heads and the lengths, so no table could tell. Every
candidate computes one real row, forward and backward; what fails or comes out differently is left out.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.benchmark import Timer

from rlhf_losses.layouts.base import HALF, AttentionOptions, TreeAttention
from rlhf_losses.layouts.experimental.flex import attend_in_one_kernel
from rlhf_losses.layouts.experimental.varlen import attend_by_flash_attn, attend_by_spans, has_flash_attn
from rlhf_losses.layouts.prefix_tree import TokenTree
from rlhf_losses.layouts.sdpa import attend_by_calls

logger = logging.getLogger(__name__)

FEWEST_TOKENS = 1024
"""Rows with fewer tokens are computed call by call: any kernel is done with them at once."""

ROUNDING = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""AttentionOptions far apart two kernels may lie in each precision, as a share of the norm."""

CALLS = "call by call"
Work = Callable[[], tuple[Tensor, ...]]
Clock = Callable[[Work], float]
"""Returns the seconds that some work takes."""

_chosen: dict[tuple[Any, ...], TreeAttention] = {}


@torch.compiler.disable
def attend_fastest(tree: TokenTree, query: Tensor, key: Tensor, value: Tensor, how: AttentionOptions) -> Tensor:
    """Return the attention of a row of shape (1, heads, tokens, dimension).

    On a CPU, with dropout, in double precision, and for short rows it goes call by call.
    """
    tokens = query.shape[2]
    if query.device.type != "cuda" or query.dtype not in ROUNDING or how.dropout or tokens < FEWEST_TOKENS:
        return attend_by_calls(tree, query, key, value, how)
    size = (tokens.bit_length(), len(tree.sizes).bit_length())
    question = (query.device, query.dtype, query.shape[1], *key.shape[1::2], how, tree.both_ways, *size)
    if question not in _chosen:
        _chosen[question] = fastest_of(candidates(query.dtype, how), tree, (query, key, value), how)
    return _chosen[question](tree, query, key, value, how)


def candidates(dtype: torch.dtype, how: AttentionOptions) -> dict[str, TreeAttention]:
    """Return the kernels for GPUs that compute in this precision what a layer asks for."""
    if dtype not in HALF or how.softcap is not None:
        return {"FlexAttention": attend_in_one_kernel}
    flash = {"flash-attn": attend_by_flash_attn} if has_flash_attn() else {}
    return {**flash, "torch's kernel for several lengths": attend_by_spans}


def fastest_of(
    ways: Mapping[str, TreeAttention],
    tree: TokenTree,
    inputs: tuple[Tensor, Tensor, Tensor],
    how: AttentionOptions,
    clock: Clock | None = None,
) -> TreeAttention:
    """Return the fastest of some ways to compute a row and its gradients, and of going call by call; a line says which.

    Where memory does not last for measuring, it goes call by call.

    Args:
        ways: by what they are called in the line.
        tree: the row.
        inputs: query, key and value.
        how: what the layer asks for.
        clock: measures a way; by default, the median over some rounds.
    """
    clock = clock or _median_seconds
    reference = partial(_forward_and_backward, attend_by_calls, tree, inputs, how)
    try:
        expected, seconds = reference(), {CALLS: clock(reference)}
    except torch.OutOfMemoryError:
        logger.warning("Attention: no memory is left to measure kernels in, so it goes call by call.")
        return attend_by_calls
    for name, way in ways.items():
        work = partial(_forward_and_backward, way, tree, inputs, how)
        reason = _why_not(work, expected, ROUNDING[inputs[0].dtype])
        if reason is None:
            seconds[name] = clock(work)
        else:
            logger.warning("Attention: %s is left out, because it %s.", name, reason)
    best = min(seconds, key=lambda name: seconds[name])
    logger.info(
        "Attention: %s for rows of about %d tokens in %d nodes on %s, %.1f times as fast as call by call.",
        best, inputs[0].shape[2], len(tree.sizes), inputs[0].device, seconds[CALLS] / seconds[best],
    )  # fmt: skip
    return ways.get(best, attend_by_calls)


def _why_not(work: Work, expected: tuple[Tensor, ...], rounding: float) -> str | None:
    """Return why something does not do the work, or None."""
    try:
        found = work()
    except Exception as error:
        return f"failed with {type(error).__name__}: {error}"
    differences = [float((a - b).norm() / b.norm().clamp(min=1e-30)) for a, b in zip(found, expected, strict=True)]
    # NaN is no larger than anything, so it has to be asked for each number whether it is small.
    too_far = [differs for differs in differences if not differs <= rounding]
    return f"differs by {too_far[0]:.1e} from going call by call" if too_far else None


def _forward_and_backward(
    way: TreeAttention, tree: TokenTree, inputs: tuple[Tensor, ...], how: AttentionOptions
) -> tuple[Tensor, ...]:
    """Return the attention and the gradients of its squared norm, in float32; nothing is left on the inputs.

    A checkpoint that it happens in sees nothing of what is saved for these gradients, or it would compute that again.
    """
    with torch.inference_mode(False), torch.enable_grad(), saved_tensors_hooks(_as_it_is, _as_it_is):
        query, key, value = (x.detach().clone().requires_grad_() for x in inputs)
        output = way(tree, query, key, value, how)
        gradients = torch.autograd.grad(output.float().square().sum(), (query, key, value))
    return tuple(x.detach().float() for x in (output, *gradients))


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def _median_seconds(work: Work) -> float:
    return float(Timer("work()", globals={"work": work}).blocked_autorange(min_run_time=0.05).median)
