"""Files with the weights of a model: whether they can be read, before data are prepared and the model is loaded."""

import json
import zipfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch
from safetensors import safe_open
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME

from rlhf_losses.errors import UnsupportedModelError, first_line, shown

NUMBERS_OF_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""Names of the number of layers in configurations."""

MODEL_WEIGHTS = (SAFE_WEIGHTS_NAME, WEIGHTS_NAME)
"""Files with all weights of a model, the preferred one first."""


def require_readable_weights(path: str | Path, names: tuple[str, ...] = MODEL_WEIGHTS) -> None:
    """Raise `UnsupportedModelError` if a file with weights is damaged, missing, outside the folder or executes code,
    or if the configuration has more layers than the weights.

    The tensors of the files are not read. A model on the Hub is not checked.

    Args:
        path: folder of a model or of an adapter.
        names: files that have all weights, the preferred one first. Without them, the files of an index are checked.
    """
    folder = Path(path)
    if not folder.is_dir():
        return
    found = [folder / name for name in names if (folder / name).exists()][:1]
    tensors = 0
    for file in found or _shards(folder):
        try:
            tensors += _count_tensors(file)
        except Exception as error:  # a damaged file can cause any error in any of the libraries
            raise UnsupportedModelError(
                f"'{file}' cannot be read as weights: {_reason(error)}. Download the file again, or save the model "
                "again; safetensors files contain no code."
            ) from error
    if tensors and names == MODEL_WEIGHTS:
        _require_layers(folder / CONFIG_NAME, tensors)


def _require_layers(config: Path, tensors: int) -> None:
    """Raise `UnsupportedModelError` for more layers than tensors: a model is built layer by layer before it is read."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        parts = [content, *(part for part in content.values() if isinstance(part, dict))]
    except (OSError, ValueError, AttributeError, RecursionError):
        return  # transformers reports a configuration that it cannot read
    for part, name in product(parts, NUMBERS_OF_LAYERS):
        count = part.get(name)
        if isinstance(count, int | float) and count > tensors:
            raise UnsupportedModelError(
                f"'{config}' has {name}={shown(count)}, but the files of weights have {tensors} tensors, so the "
                "configuration is not that of the weights. Download the file again, or save the model again."
            )


def _shards(folder: Path) -> Iterator[Path]:
    """Yield the files that the index of a model names."""
    indices = (folder / name for name in (SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_INDEX_NAME))
    index = next((file for file in indices if file.exists()), None)
    if index is None:
        return
    try:
        names = sorted({str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    except Exception as error:  # the content can be anything
        raise UnsupportedModelError(
            f"'{index}' cannot be read as an index of weights: {first_line(error)}. Download the file again."
        ) from error
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            place = "is missing" if Path(name).name == name else "is outside the folder"
            raise UnsupportedModelError(
                f"'{index}' names the file '{name}', which {place}, so weights are unknown. Download all files again."
            )
        yield folder / name


def _count_tensors(file: Path) -> int:
    """Return the number of tensors of a file, which are not read; code in a pickled file is refused."""
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as weights:
            return len(list(weights.keys()))
    return len(torch.load(file, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(file)))


def _reason(error: Exception) -> str:
    """Return the reason in one line; that of torch about code is a page long."""
    return "it contains code" if "weights_only" in str(error) else first_line(error)
