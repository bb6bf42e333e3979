"""Checks of the arguments `model` and `processing_class` of trainers and scorers."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses.checks.argument_checks import require_instance
from rlhf_losses.errors import InvalidSettingError, UnsupportedModelError

LOCAL = (".", "/", "~")
"""First characters of paths that are no Hub ids."""


def model_or_path(model: Any, name: str = "model") -> Any:
    """Return a model, or its path as a string.

    Args:
        model: the argument: a model, a folder or a Hub id.
        name: its name.

    Raises:
        InvalidArgumentError: something else.
        UnsupportedModelError: there is no such folder.
    """
    if isinstance(model, str | Path):
        return existing_path(model)
    require_instance(
        model, (PreTrainedModel, PeftModel), name, "a folder, a Hub id or a model of transformers or PEFT",
        f"Pass for example {name}='Qwen/Qwen3-0.6B'.",
    )  # fmt: skip
    return model


def existing_path(path: Any) -> str:
    """Return the path of a model as a string.

    Args:
        path: a folder or a Hub id.

    Raises:
        InvalidArgumentError: not a path.
        UnsupportedModelError: it is empty or a file, or it can only be a folder, and there is no such folder.
    """
    require_instance(path, (str, Path), "path", "a folder or a Hub id", "Pass for example 'runs/reward_model'.")
    text = str(path)
    if not text.strip():
        raise UnsupportedModelError("The path of the model is empty. Pass a folder or a Hub id.")
    if Path(text).is_file():
        raise UnsupportedModelError(
            f"'{text}' is a file, but a model is a folder with config.json or a Hub id. Pass the folder."
        )
    if (isinstance(path, Path) or text.startswith(LOCAL)) and not Path(text).is_dir():
        raise UnsupportedModelError(
            f"There is no folder '{text}', so no model can be loaded from it. Check the path, or pass a Hub id as a "
            "string."
        )
    return text


def require_device(device: Any) -> torch.device:
    """Return a device of torch.

    Args:
        device: a device or its name.

    Raises:
        InvalidSettingError: torch has no such device.
    """
    try:
        return torch.device(device)
    except (RuntimeError, TypeError):
        raise InvalidSettingError(
            f"device={device!r} is no device of torch. Use for example device='cpu' or device='cuda'."
        ) from None


def require_dtype(dtype: Any) -> None:
    """Raise `InvalidSettingError` unless an argument is a dtype of torch, its name or `"auto"`."""
    named = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype != "auto" and not isinstance(named, torch.dtype):
        raise InvalidSettingError(f"dtype={dtype!r} is no dtype of torch. Use for example dtype='bfloat16'.")


def require_tokenizer(tokenizer: Any, name: str = "processing_class") -> None:
    """Raise `InvalidArgumentError` unless an argument is a tokenizer of transformers."""
    require_instance(
        tokenizer, PreTrainedTokenizerBase, name, "a tokenizer of transformers",
        f"Pass {name}=AutoTokenizer.from_pretrained('MODEL').",
    )  # fmt: skip


def require_optional_arguments(processing_class: Any, peft_config: Any) -> None:
    """Raise `InvalidArgumentError` for a tokenizer or a PEFT configuration of another type; None is accepted."""
    if processing_class is not None:
        require_tokenizer(processing_class)
    if peft_config is not None:
        remedy = "Pass for example peft_config=peft.LoraConfig(r=16)."
        require_instance(peft_config, PeftConfig, "peft_config", "a configuration of PEFT", remedy)
