"""Precision of a model: the dtype of its weights, and forward passes without mixed precision."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def scores_dtype(model: nn.Module) -> str:
    """Return the dtype in which a model computes: that of its weights, or `"4bit"` or `"8bit"` for quantized ones.

    Args:
        model: a transformers model, bare or wrapped by PEFT.

    Examples:
        >>> scores_dtype(nn.Linear(2, 1).bfloat16())
        'bfloat16'
    """
    if any(hasattr(weight, "quant_state") for weight in model.parameters()):
        return "4bit"
    if any(weight.dtype == torch.int8 for weight in model.parameters()):
        return "8bit"
    dtype = next(weight.dtype for weight in model.parameters() if weight.is_floating_point())
    return str(dtype).removeprefix("torch.")


@contextmanager
def without_mixed_precision(model: nn.Module) -> Iterator[None]:
    """Run the forward passes of a model in the dtype of its weights, also after `Accelerator.prepare`.

    With `bf16=True`, accelerate replaces the forward method of a model by one that computes in bfloat16. A saved model
    does not have this method, so its scores would differ from those of the model in training.

    Args:
        model: a model, which may have been prepared for mixed precision.
    """
    original, prepared = vars(model).get("_original_forward"), model.forward
    if original is None:
        yield
        return
    model.forward = original
    try:
        yield
    finally:
        model.forward = prepared
