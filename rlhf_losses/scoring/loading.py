"""Load a reward model from a folder or the hub: whole, or a LoRA adapter merged into its base."""

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
from rlhf_losses.models.architectures import require_single_stack
from rlhf_losses.models.scores import HEADS

ADAPTER = "adapter_model.safetensors"


def load_reward_model(
    path: str | Path, dtype: torch.dtype | str = torch.float32, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a sequence classifier with one trained head, and its tokenizer.

    Raises:
        UnsupportedModelError: there is no model, its head was never trained, or it gives several numbers a text.
    """
    tokenizer = AutoTokenizer.from_pretrained(path)
    if Path(path, "adapter_config.json").is_file():
        return _load_adapter(path, dtype, options), tokenizer
    model, info = AutoModelForSequenceClassification.from_pretrained(
        path, dtype=dtype, output_loading_info=True, **options
    )
    require_single_stack(model.config)
    if info["missing_keys"]:
        raise UnsupportedModelError(
            f"'{path}' has no weights for {', '.join(sorted(info['missing_keys']))}, so its scores would be random. "
            "It is a base model: train it first with rlhf-losses train, or give the folder that training wrote."
        )
    if model.config.num_labels != 1:
        raise UnsupportedModelError(
            f"'{path}' has num_labels={model.config.num_labels}, but a reward model gives one score a text. "
            "Give one with num_labels=1, or train one: rlhf-losses train --model BASE."
        )
    return model, tokenizer


def _load_adapter(path: str | Path, dtype: torch.dtype | str, options: dict[str, Any]) -> PreTrainedModel:
    from peft import AutoPeftModelForSequenceClassification

    if Path(path, ADAPTER).is_file():
        require_head_in(Path(path))
    # The head is the adapter's, so that of its base may be of another size.
    model = AutoPeftModelForSequenceClassification.from_pretrained(
        path, dtype=dtype, num_labels=1, ignore_mismatched_sizes=True, **options
    )
    return model.merge_and_unload()


def require_head_in(adapter: Path) -> None:
    """Raise `UnsupportedModelError` for an adapter that was saved without a score head."""
    with safe_open(adapter / ADAPTER, "pt") as file:
        if not any(part in HEADS for name in file.keys() for part in name.split(".")):  # noqa: SIM118 (no mapping)
            raise UnsupportedModelError(
                f"The adapter in '{adapter}' holds no score head, so it is that of a language model. "
                "Give a checkpoint of RewardTrainer, as rlhf-losses train writes them."
            )
