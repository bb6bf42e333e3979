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
from rlhf_losses.models.scores import HEADS

ADAPTER = "adapter_model.safetensors"
"""File with the weights of a LoRA adapter."""


def load_reward_model(
    path: str | Path, dtype: torch.dtype | str = torch.float32, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a sequence classifier with one trained head, and its tokenizer.

    Args:
        path: folder or Hub id of a model, or folder of a LoRA adapter.
        dtype: dtype of the parameters.
        options: other arguments of `from_pretrained` of the model class.

    Raises:
        UnsupportedModelError: the head is missing or has several labels, or the architecture is not supported.
    """
    tokenizer = AutoTokenizer.from_pretrained(path)
    load = _load_adapter if Path(path, "adapter_config.json").is_file() else _load_model
    model = load(path, dtype=dtype, **options)
    require_single_label(model.config, str(path))
    return model, tokenizer


def require_head_in(adapter: Path) -> None:
    """Raise `UnsupportedModelError` if a LoRA adapter was saved without a score head.

    Args:
        adapter: folder of the adapter.
    """
    with safe_open(adapter / ADAPTER, "pt") as file:
        names = list(file.keys())
    if not any(part in HEADS for name in names for part in name.split(".")):
        raise UnsupportedModelError(
            f"The adapter in '{adapter}' has no score head, so it is the adapter of a language model. "
            "Use a checkpoint of RewardTrainer or of 'rlhf-losses train'."
        )


def _load_model(path: str | Path, **options: Any) -> PreTrainedModel:
    model, info = AutoModelForSequenceClassification.from_pretrained(path, output_loading_info=True, **options)
    require_single_stack(model.config)
    if info["missing_keys"]:
        raise UnsupportedModelError(
            f"'{path}' has no weights for {', '.join(sorted(info['missing_keys']))}, so its scores would be random: it "
            "is not a reward model. Train it with 'rlhf-losses train', or give the folder that training wrote."
        )
    loaded: PreTrainedModel = model
    return loaded


def _load_adapter(path: str | Path, **options: Any) -> PreTrainedModel:
    from peft import AutoPeftModelForSequenceClassification

    if Path(path, ADAPTER).is_file():
        require_head_in(Path(path))
    # The adapter has its own head, so the head of the base may have another number of labels.
    model = AutoPeftModelForSequenceClassification.from_pretrained(
        path, num_labels=1, ignore_mismatched_sizes=True, **options
    )
    merged: PreTrainedModel = model.merge_and_unload()
    return merged
