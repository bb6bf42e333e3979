"""The weights of the score head: their hash, and loading them without rounding."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft.utils import SAFETENSORS_WEIGHTS_NAME as ADAPTER_WEIGHTS
from safetensors import safe_open
from torch import Tensor, nn
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file

from rlhf_losses.models.scores import find_head, use_float32_head

ADAPTER_PREFIX = "base_model.model."
"""Beginning of the names of weights in the file of an adapter."""


def head_sha256(model: nn.Module) -> str | None:
    """Return the SHA-256 hash of the weights of the score head in float32.

    Args:
        model: a sequence classifier, bare or wrapped by PEFT.

    Returns:
        The hash; None if the head has no weights, has adapters that are not merged, or is quantized.
    """
    weights = head_weights(model)
    if not weights or any("lora_" in name or not weight.is_floating_point() for name, weight in weights.items()):
        return None
    digest = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def head_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of the score head that the model uses, by name inside the head.

    Args:
        model: a sequence classifier, bare or wrapped by PEFT.
    """
    head: Any = find_head(model)
    if hasattr(head, "modules_to_save"):  # PEFT keeps the head of the base beside the trained one
        head = head.modules_to_save[head.active_adapters[0]]
    return dict(head.named_parameters())


@torch.no_grad()
def restore_head(model: nn.Module, path: str | Path, revision: str | None = None) -> None:
    """Give the score head the weights of its file in float32, where loading has rounded them to another dtype.

    Weights that are not in a safetensors file, or have another shape there, stay as they are.

    Args:
        model: a sequence classifier, which changes in place.
        path: folder or Hub id that it was loaded from.
        revision: revision on the Hub.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    loaded = {names[id(weight)]: weight for weight in head_weights(model).values() if weight.is_floating_point()}
    if all(weight.dtype == torch.float32 for weight in loaded.values()):
        return
    saved = dict(_saved_weights(path, list(loaded), revision))
    if saved.keys() == loaded.keys() and all(saved[name].shape == loaded[name].shape for name in saved):
        use_float32_head(model)
        for name, parameter in model.named_parameters():
            if name in saved:
                parameter.copy_(saved[name])


def _saved_weights(path: str | Path, names: list[str], revision: str | None) -> Iterator[tuple[str, Tensor]]:
    """Yield weights of a saved model by name; of an adapter, if there is one."""
    for file_name in (ADAPTER_WEIGHTS, SAFE_WEIGHTS_NAME, *_shards(path, names, revision)):
        file = _find(path, file_name, revision)
        if file is None:
            continue
        with safe_open(file, "pt") as weights:
            stored = {name.removeprefix(ADAPTER_PREFIX): name for name in list(weights.keys())}
            yield from ((name, weights.get_tensor(stored[name])) for name in names if name in stored)
        if file_name == ADAPTER_WEIGHTS:
            return


def _shards(path: str | Path, names: list[str], revision: str | None) -> list[str]:
    """Return the files that have the weights of a model which is saved in several files."""
    index = _find(path, SAFE_WEIGHTS_INDEX_NAME, revision)
    if index is None:
        return []
    files: dict[str, str] = json.loads(Path(index).read_text(encoding="utf-8")).get("weight_map", {})
    return sorted({files[name] for name in names if name in files})


def _find(path: str | Path, name: str, revision: str | None) -> str | None:
    """Return the path of a file of a model, or None if there is no such file."""
    found: str | None = cached_file(
        str(path), name, revision=revision, _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False, _raise_exceptions_for_connection_errors=False,
    )  # fmt: skip
    return found
