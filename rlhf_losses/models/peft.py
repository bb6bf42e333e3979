"""What happens to weights around training: those of 4 bits stay trainable, adapters are merged."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from peft import PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn


def keep_4bit_trainable(model: nn.Module) -> None:
    """Keep bitsandbytes from packing the 4-bit weights of a model that is evaluated on a CPU while it trains.

    Packed weights pass no gradient on, to any adapter below them.
    """
    quantized: Iterator[Any] = model.modules()
    for module in quantized:
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def merged(model: Any) -> Any:
    """Return a model without adapters: itself, or a copy with plain weights in which they are merged."""
    if not isinstance(model, PeftModel):
        return model
    base: Any = model.get_base_model()
    copy = _dequantized(model) if getattr(base, "is_quantized", False) else deepcopy(model)
    return copy.merge_and_unload()


def _dequantized(model: PeftModel) -> Any:
    """Return a copy with plain weights in the precision of its embeddings: merging into 4 bits would round again."""
    copy, settings = deepcopy(model), model.peft_config[model.active_adapter]
    trained = get_peft_model_state_dict(copy)
    base = copy.unload().dequantize()
    vars(base).pop("peft_config", None)  # older PEFT leaves it there
    base.to(base.get_input_embeddings().weight.dtype)
    plain = get_peft_model(base, settings)
    set_peft_model_state_dict(plain, trained)
    return plain
