"""bfloat16 on a CPU: whether the CPU has instructions for it."""

import logging
from typing import Any

import torch
from torch import nn

from rlhf_losses.setting_names import setting

logger = logging.getLogger(__name__)


def cpu_has_bfloat16() -> bool:
    """Return whether this CPU has instructions for bfloat16, such as AVX512-BF16 or AMX; True if it is unknown."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.5 does not have it
    known = [bool(available) for name, available in capabilities.items() if "bf16" in name]
    return any(known) or not known


def warn_about_bfloat16(model: nn.Module, autocast: bool) -> None:
    """Warn if a model on a CPU computes in bfloat16, and the CPU has no instructions for it.

    Args:
        model: the model.
        autocast: whether forward passes run in bfloat16 although the weights have another dtype.
    """
    weights = next(model.parameters(), torch.empty(0))
    if weights.device.type != "cpu" or cpu_has_bfloat16() or not (autocast or weights.dtype == torch.bfloat16):
        return
    remedies = [
        setting("bf16", "false", python="bf16=False") if autocast else "",
        setting("dtype", "float32", python="model.float()") if weights.dtype == torch.bfloat16 else "",
    ]
    logger.warning(
        "This CPU has no instructions for bfloat16, so bfloat16 is many times slower than float32. Use %s.",
        " and ".join(filter(None, remedies)),
    )
