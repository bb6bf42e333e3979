"""Helpers for adapters: whether a run trains them, 4-bit training, and merging."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.utils import CONFIG_NAME, ModulesToSaveWrapper
from torch import nn


def trains_adapters(model: Any, peft_config: PeftConfig | None) -> bool:
    """Return whether a trainer would train adapters of a model instead of all its weights.

    Args:
        model: a path or a model, as the argument of a trainer.
        peft_config: new adapters, or None.
    """
    if isinstance(model, str | Path):
        return peft_config is not None or Path(model, CONFIG_NAME).is_file()
    return peft_config is not None or isinstance(model, PeftModel)


def keep_4bit_trainable(model: nn.Module) -> None:
    """Prevent bitsandbytes from packing 4-bit weights when a model is evaluated on a CPU during training.

    No gradient flows through packed weights, so adapters in lower layers would not train.

    Args:
        model: any model; modules without 4-bit weights stay unchanged.
    """
    modules: Iterator[Any] = model.modules()
    for module in modules:
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def merge_adapters(model: Any) -> Any:
    """Return a copy with adapters merged into plain weights, or the model itself if it has no adapters.

    Args:
        model: a transformers model, bare or wrapped by PEFT. It stays unchanged.
    """
    if not isinstance(model, PeftModel):
        return model
    base: Any = model.get_base_model()
    copy = _dequantized(model) if getattr(base, "is_quantized", False) else deepcopy(model)
    return copy.merge_and_unload()


def share_trained_modules(model: nn.Module) -> None:
    """Let PEFT's copies of modules that are trained in full share their weights with the originals.

    PEFT keeps the original of each module in `modules_to_save`, for use without adapters. The original of a new head is
    random, so nothing uses it.

    Args:
        model: a model, bare or wrapped by PEFT.
    """
    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            trained = module.modules_to_save[module.active_adapters[0]]
            originals = dict(module.original_module.named_modules())
            for name, part in trained.named_modules():
                for key, parameter in part.named_parameters(recurse=False):
                    setattr(originals[name], key, parameter)


def _dequantized(model: PeftModel) -> Any:
    """Return a copy with plain weights in the dtype of the embeddings: a merge into 4-bit weights rounds again."""
    copy, settings = deepcopy(model), model.peft_config[model.active_adapter]
    adapter_weights = get_peft_model_state_dict(copy)
    base = copy.unload().dequantize()
    vars(base).pop("peft_config", None)  # older versions of PEFT leave it there
    base.to(base.get_input_embeddings().weight.dtype)
    plain = get_peft_model(base, settings)
    set_peft_model_state_dict(plain, adapter_weights)
    return plain
