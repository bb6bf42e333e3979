"""Whether a loaded reward model is the one that was saved: its tokenizer, its scores and its head."""

from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.added_tokens import TextEnd
from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.scoring.canaries import describe_change
from rlhf_losses.scoring.head_weights import head_sha256
from rlhf_losses.scoring.metadata import RewardModelMetadata, chat_template_sha256

ADAPTER_CONFIG = "adapter_config.json"
"""File of an adapter, whose base has a configuration of its own."""


def require_saved_model(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, metadata: RewardModelMetadata, path: str | Path
) -> None:
    """Raise `UnsupportedModelError` if a loaded model is not the one that was saved.

    Args:
        model: a sequence classifier with one label.
        tokenizer: its tokenizer.
        metadata: metadata of the saved model; fields without a value are not compared.
        path: folder or Hub id that it was loaded from.
    """
    change = (
        describe_change(model, tokenizer, metadata.canaries, TextEnd.of(tokenizer, metadata.end_of_texts))
        or describe_other_template(tokenizer, metadata)
        or describe_other_padding(model, tokenizer, metadata, path)
        or describe_other_head(model, metadata)
    )
    if change is not None:
        raise UnsupportedModelError(
            f"'{path}' is not the model that was saved: {change}. Save the model again, or download all files of its "
            "folder."
        )


def describe_other_template(tokenizer: PreTrainedTokenizerBase, metadata: RewardModelMetadata) -> str | None:
    """Return how the chat template differs from the recorded one, or None."""
    recorded, current = metadata.chat_template_sha256, chat_template_sha256(tokenizer)
    if recorded == current or not metadata.has_recorded_template:
        return None
    found = "there is none" if current is None else f"it has the SHA-256 hash {current[:12]}"
    return f"its chat template has changed: {found}, but {'none' if recorded is None else recorded[:12]} was recorded"


def describe_other_padding(
    model: Any, tokenizer: PreTrainedTokenizerBase, metadata: RewardModelMetadata, path: str | Path
) -> str | None:
    """Return how the padding token differs from the recorded one, or None.

    A sequence classifier of transformers uses the score at the last token that is not padding. The configuration is
    that of the base if the model is an adapter, so it is compared for whole models only.
    """
    found = {"its tokenizer": tokenizer.pad_token_id}
    if not Path(path, ADAPTER_CONFIG).is_file():
        found["its configuration"] = model.config.get_text_config().pad_token_id
    other = next(((name, number) for name, number in found.items() if number != metadata.pad_token_id), None)
    if metadata.pad_token_id is None or other is None:
        return None
    name, number = other
    return (
        f"the padding token of {name} is {number}, but {metadata.pad_token_id} was recorded, and a plain classifier "
        "uses the score at the last token that is not padding"
    )


def describe_other_head(model: nn.Module, metadata: RewardModelMetadata) -> str | None:
    """Return how the score head differs from the recorded one, or None.

    The comparison is exact in every precision, because the head is loaded in float32.
    """
    recorded, current = metadata.head_sha256, head_sha256(model)
    if recorded in (None, current):
        return None
    found = "unknown" if current is None else current[:12]
    return (
        "its score head has other weights, for example because its file was converted to another dtype, so scores are "
        f"rounded or wrong (SHA-256 hash {found}, but {str(recorded)[:12]} was recorded)"
    )
