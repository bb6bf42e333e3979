"""Loading of reward models from a folder or the Hub: a whole model, or a LoRA adapter that is merged into its base."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.models.architectures import require_single_label, require_single_stack
from rlhf_losses.models.embeddings import count_embeddings
from rlhf_losses.models.finite import require_finite_weights
from rlhf_losses.models.loading_errors import explain_loading
from rlhf_losses.models.scores import HEADS
from rlhf_losses.models.weight_files import MODEL_WEIGHTS, require_readable_weights
from rlhf_losses.models.whole_weights import load_whole
from rlhf_losses.scoring.head_weights import restore_head

ADAPTER = "adapter_model.safetensors"
"""File with the weights of a LoRA adapter."""


def load_reward_model(
    path: str | Path, dtype: torch.dtype | str = torch.float32, trust_remote_code: bool = False, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a sequence classifier with one trained head, and its tokenizer, in every process with all weights.

    Args:
        path: folder or Hub id of a model, or folder of a LoRA adapter.
        dtype: dtype of the parameters; the score head is in float32 as it was saved.
        trust_remote_code: whether Python code that comes with the model is executed. Without it, nothing asks.
        options: other arguments of `from_pretrained` of the model class.

    Raises:
        UnsupportedModelError: the head is missing or has several labels, the architecture is not supported, or the
            model needs code that is not trusted.
        NonFiniteError: a weight is NaN or infinite.
    """
    is_adapter = Path(path, "adapter_config.json").is_file()
    load = _load_adapter if is_adapter else _load_model
    require_readable_weights(path, (ADAPTER, "adapter_model.bin") if is_adapter else MODEL_WEIGHTS)
    with explain_loading(path, "a reward model"), load_whole():
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
        tokenizer("A text.")  # some settings of a tokenizer are only read here
        model = load(path, dtype=dtype, trust_remote_code=trust_remote_code, **options)
        restore_head(model, path, options.get("revision"))
    require_single_label(model.config, str(path))
    require_finite_weights(model, f"'{path}' gives no scores")
    return model, tokenizer


def has_head(adapter: Path) -> bool:
    """Return whether a LoRA adapter was saved with a score head.

    Args:
        adapter: folder of the adapter.
    """
    with safe_open(adapter / ADAPTER, "pt") as file:
        names = list(file.keys())
    return any(part in HEADS for name in names for part in name.split("."))


def require_head_in(adapter: Path) -> None:
    """Raise `UnsupportedModelError` if a LoRA adapter was saved without a score head.

    Args:
        adapter: folder of the adapter.
    """
    if not has_head(adapter):
        raise UnsupportedModelError(
            f"The adapter in '{adapter}' has no score head, so it is the adapter of a language model. "
            "Use a checkpoint of RewardTrainer or of 'rlhf-losses train'."
        )


def _load_model(path: str | Path, **options: Any) -> PreTrainedModel:
    model, info = AutoModelForSequenceClassification.from_pretrained(path, output_loading_info=True, **options)
    require_single_stack(model.config)
    unused = sorted(info["unexpected_keys"])
    if info["missing_keys"]:
        others = f" The file has {', '.join(map(repr, unused[:3]))}, which the model does not use." if unused else ""
        raise UnsupportedModelError(
            f"'{path}' has no weights for {', '.join(sorted(info['missing_keys']))}, so its scores would be random: it "
            f"is not a reward model.{others} Train it with 'rlhf-losses train', or give the folder that training wrote."
        )
    if of_head := [name for name in unused if set(name.split(".")) & set(HEADS)]:
        raise UnsupportedModelError(
            f"'{path}' has the weights {', '.join(map(repr, of_head))}, which the score head of {type(model).__name__} "
            "does not use, so its scores would be others than those of the program that saved it. A bias of the head "
            "shifts all scores by a constant. Remove it from the file, or load the model with that program."
        )
    loaded: PreTrainedModel = model
    return loaded


def _load_adapter(path: str | Path, **options: Any) -> PreTrainedModel:
    from peft import PeftConfig, PeftModel

    folder, settings = Path(path), PeftConfig.from_pretrained(path)
    if (folder / ADAPTER).is_file():
        require_head_in(folder)
    # The adapter has its own head, so the head of the base may have another number of labels.
    base = AutoModelForSequenceClassification.from_pretrained(
        settings.base_model_name_or_path,
        **{"revision": settings.revision, "num_labels": 1, "ignore_mismatched_sizes": True, **options},
    )
    if (trained := count_saved_embeddings(folder, settings, base)) > (count_embeddings(base) or 0):
        base.resize_token_embeddings(trained)
    merged: PreTrainedModel = PeftModel.from_pretrained(base, str(path)).merge_and_unload()
    return merged


def count_saved_embeddings(folder: Path, settings: Any, base: PreTrainedModel) -> int:
    """Return the number of embeddings that an adapter was trained with, or 0 if it has none.

    Args:
        folder: folder of the adapter.
        settings: its configuration.
        base: its base.
    """
    chosen = getattr(settings, "trainable_token_indices", None) or {}
    indices = [index for ids in chosen.values() for index in ids] if isinstance(chosen, dict) else list(chosen)
    count = max(indices, default=-1) + 1
    name = next(name for name, module in base.named_modules() if module is base.get_input_embeddings())
    if (folder / ADAPTER).is_file():
        with safe_open(folder / ADAPTER, "pt") as file:
            keys = [key for key in list(file.keys()) if f"{name}." in key and key.endswith(".weight")]
            saved = [key for key in keys if "lora_" not in key]
            count = max([count, *(file.get_slice(key).get_shape()[0] for key in saved)])
    return count
