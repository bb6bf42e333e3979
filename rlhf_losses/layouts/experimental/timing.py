"""Attention along a prefix tree with the kernel that is fastest on the device, measured on the first row of each size.

The fastest kernel depends on the device, the dtype, the heads and the lengths. Each candidate computes one row of the
run, forward and backward. Candidates that fail or differ from SDPA by more than rounding are excluded.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.benchmark import Timer

from rlhf_losses.layouts.base import HALF_PRECISION, AttentionOptions, TreeAttention
from rlhf_losses.layouts.experimental.flex import attend_flex
from rlhf_losses.layouts.experimental.varlen import attend_flash_attn, attend_varlen, has_flash_attn
from rlhf_losses.layouts.prefix_tree import PrefixTree
from rlhf_losses.layouts.sdpa import attend_sdpa
from rlhf_losses.models.compilation import without_compilation

logger = logging.getLogger(__name__)

MIN_TOKENS = 1024
"""Shorter rows are computed with SDPA without a measurement."""

ROUNDING = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""Maximum difference between two kernels in each dtype, relative to the norm."""

Work = Callable[[], tuple[Tensor, ...]]
Clock = Callable[[Work], float]
"""A function that returns the duration of some work in seconds."""

_fastest: dict[tuple[Any, ...], TreeAttention] = {}


@without_compilation
def attend_fastest(tree: PrefixTree, query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
    """Return the attention output of one row with the fastest kernel. See `TreeAttention`.

    On a CPU, with dropout, in float64 and for rows with fewer than `MIN_TOKENS` tokens this is SDPA.
    """
    tokens = query.shape[2]
    if query.device.type != "cuda" or query.dtype not in ROUNDING or options.dropout or tokens < MIN_TOKENS:
        return attend_sdpa(tree, query, key, value, options)
    size = (tokens.bit_length(), len(tree.sizes).bit_length())
    case = (query.device, query.dtype, query.shape[1], *key.shape[1::2], options, tree.bidirectional, *size)
    if case not in _fastest:
        _fastest[case] = select_fastest(candidates(query.dtype, options), tree, (query, key, value), options)
    return _fastest[case](tree, query, key, value, options)


def candidates(dtype: torch.dtype, options: AttentionOptions) -> dict[str, TreeAttention]:
    """Return the GPU kernels that support a dtype and the options of a layer, by name.

    Args:
        dtype: dtype of the queries.
        options: options of the layer.
    """
    if dtype not in HALF_PRECISION or options.softcap is not None:
        return {"FlexAttention": attend_flex}
    flash_attn = {"flash-attn": attend_flash_attn} if has_flash_attn() else {}
    return {**flash_attn, "varlen_attn": attend_varlen}


def select_fastest(
    kernels: Mapping[str, TreeAttention],
    tree: PrefixTree,
    inputs: tuple[Tensor, Tensor, Tensor],
    options: AttentionOptions,
    clock: Clock | None = None,
) -> TreeAttention:
    """Return the fastest of some kernels and SDPA for a row and its gradients, and log the choice.

    The result is SDPA if there is not enough memory for the measurement.

    Args:
        kernels: candidates by name.
        tree: the prefix tree of the row.
        inputs: query, key and value.
        options: options of the layer.
        clock: measures the duration of a candidate; default is the median of several runs.
    """
    clock = clock or _median_seconds
    reference = partial(_forward_and_backward, attend_sdpa, tree, inputs, options)
    try:
        expected, seconds = reference(), {"SDPA": clock(reference)}
    except torch.OutOfMemoryError:
        logger.warning("Attention: not enough memory to measure kernels. SDPA is used.")
        return attend_sdpa
    for name, kernel in kernels.items():
        work = partial(_forward_and_backward, kernel, tree, inputs, options)
        reason = _reason_to_exclude(work, expected, ROUNDING[inputs[0].dtype])
        if reason is None:
            seconds[name] = clock(work)
        else:
            logger.warning("Attention: %s is excluded because it %s.", name, reason)
    best = min(seconds, key=lambda name: seconds[name])
    logger.info(
        "Attention: %s for rows of about %d tokens in %d nodes on %s, %.1f times as fast as SDPA.",
        best, inputs[0].shape[2], len(tree.sizes), inputs[0].device, seconds["SDPA"] / seconds[best],
    )  # fmt: skip
    return kernels.get(best, attend_sdpa)


def _reason_to_exclude(work: Work, expected: tuple[Tensor, ...], rounding: float) -> str | None:
    try:
        found = work()
    except Exception as error:
        return f"failed with {type(error).__name__}: {error}"
    differences = [float((a - b).norm() / b.norm().clamp(min=1e-30)) for a, b in zip(found, expected, strict=True)]
    # Each number is compared, because NaN is not larger than any number.
    too_large = [difference for difference in differences if not difference <= rounding]
    return f"differs by {too_large[0]:.1e} from SDPA" if too_large else None


def _forward_and_backward(
    kernel: TreeAttention, tree: PrefixTree, inputs: tuple[Tensor, ...], options: AttentionOptions
) -> tuple[Tensor, ...]:
    """Return the attention output and the gradients of its squared norm, in float32, without side effects.

    Hooks hide the saved tensors from an enclosing activation checkpoint, which would recompute them.
    """
    with torch.inference_mode(False), torch.enable_grad(), saved_tensors_hooks(_identity, _identity):
        query, key, value = (x.detach().clone().requires_grad_() for x in inputs)
        output = kernel(tree, query, key, value, options)
        gradients = torch.autograd.grad(output.float().square().sum(), (query, key, value))
    return tuple(x.detach().float() for x in (output, *gradients))


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def _median_seconds(work: Work) -> float:
    return float(Timer("work()", globals={"work": work}).blocked_autorange(min_run_time=0.05).median)
