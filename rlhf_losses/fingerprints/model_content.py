"""Content of models: a hash of all weights that a run starts from, and their settings."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from xxhash import xxh3_128

from rlhf_losses.fingerprints.content import Content
from rlhf_losses.models.scores import HEADS

IGNORED_CONFIG = frozenset(
    {
        *("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "use_cache", "model_type"),
        *("id2label", "label2id", "num_labels", "pad_token_id", "bos_token_id", "eos_token_id", "vocab_size"),
        *("_attn_implementation", "attn_implementation", "_attn_implementation_autoset", "problem_type"),
    }
)
"""Keys of a model's configuration that do not change its scores, or that follow from the weights or the tokenizer."""

ADAPTER_PARTS = ("lora_", "modules_to_save", "original_module")
"""Parts of the names of weights that PEFT adds."""

IGNORED_ADAPTER_SETTINGS = frozenset(
    {
        *("base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping", "task_type"),
        *("runtime_config", "layer_replication", "megatron_config", "megatron_core"),
    }
)
"""Keys of an adapter's configuration that do not change what is trained."""


def model_content(model: nn.Module, trained: bool = True) -> Content | None:
    """Return the content of the weights of a model, or None if this process does not have them.

    Every byte of every weight is hashed, so a base that differs in one weight is another one.

    Args:
        model: a model, bare or wrapped by PEFT, before training.
        trained: whether the run trains it. Then its score head and its adapters are left out: they start at random.
    """
    dtypes: set[str] = set()
    hasher, count = xxh3_128(), 0
    for name, weight in _base_weights(model) if trained else _used_weights(model):
        if weight.is_meta or hasattr(weight, "ds_id"):
            return None
        hasher.update(f"{name} {list(weight.shape)} {weight.dtype}".encode())
        hasher.update(_bytes(weight))
        count, dtypes = count + weight.numel(), dtypes | {str(weight.dtype).removeprefix("torch.")}
    return Content(
        hasher.hexdigest(), f"{type(_inner(model)).__name__} with {count:,} weights in {'/'.join(sorted(dtypes))}"
    )


def config_settings(model: Any) -> dict[str, Any]:
    """Return the settings in a model's configuration that are not defaults, such as dropout or a quantization."""
    settings: Mapping[str, Any] = model.config.to_diff_dict()
    return {name: value for name, value in settings.items() if name not in IGNORED_CONFIG}


def adapter_settings(model: nn.Module) -> dict[str, Any]:
    """Return the settings of the adapters of a model; empty for a model without adapters."""
    if not isinstance(model, PeftModel):
        return {}
    settings: Mapping[str, Any] = model.peft_config[model.active_adapter].to_dict()
    return {name: value for name, value in settings.items() if name not in IGNORED_ADAPTER_SETTINGS}


def _base_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    adapted = isinstance(model, PeftModel)
    inner: nn.Module = _inner(model)
    for name, weight in inner.named_parameters():
        from_adapters = (adapted and weight.requires_grad) or any(part in name for part in ADAPTER_PARTS)
        if not from_adapters and not set(name.split(".")[:-1]) & set(HEADS):
            yield name.replace(".base_layer", ""), weight


def _inner(model: Any) -> Any:
    return model.get_base_model() if isinstance(model, PeftModel) else model


def _used_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield all weights but the originals of modules that PEFT has replaced."""
    return ((name, weight) for name, weight in model.named_parameters() if "original_module" not in name)


def _bytes(weight: Tensor) -> Any:
    values: Any = weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return values
