"""bfloat16: whether a machine trains with it, and whether a CPU has instructions for it."""

import logging
from typing import Any

import torch
from torch import nn
from transformers import TrainingArguments
from transformers.utils import is_torch_bf16_gpu_available, is_torch_xla_available

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.messages.setting_names import setting

logger = logging.getLogger(__name__)


def cpu_has_bfloat16() -> bool:
    """Return whether this CPU has instructions for bfloat16, such as AVX512-BF16 or AMX; True if it is unknown."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.5 does not have it
    known = [bool(available) for name, available in capabilities.items() if "bf16" in name]
    return any(known) or not known


def choose_bf16(args: TrainingArguments) -> None:
    """Set `bf16` to False if it is not given and there is no accelerator for it; TRL's default is True.

    Args:
        args: a configuration, before transformers checks it.

    Raises:
        InvalidSettingError: `bf16` is True, and it would need `use_cpu`.
    """
    if is_torch_bf16_gpu_available() or is_torch_xla_available():
        return
    if args.bf16 and not args.use_cpu:
        raise InvalidSettingError(
            f"{setting('bf16', 'true', python='bf16=True')} needs an accelerator with bfloat16, and there is none. Set "
            f"{setting('bf16', 'false', python='bf16=False')}, or {setting('use_cpu', 'true', python='use_cpu=True')} "
            "for bfloat16 on the CPU."
        )
    args.bf16 = bool(args.bf16)


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
