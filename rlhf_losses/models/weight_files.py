"""Files with the weights of a model: whether they can be read, before data are prepared and the model is loaded."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME

from rlhf_losses.errors import UnsupportedModelError, first_line

MODEL_WEIGHTS = (SAFE_WEIGHTS_NAME, WEIGHTS_NAME)
"""Files with all weights of a model, the preferred one first."""


def require_readable_weights(path: str | Path, names: tuple[str, ...] = MODEL_WEIGHTS) -> None:
    """Raise `UnsupportedModelError` if a file with weights is damaged, missing, outside the folder or executes code.

    The tensors of the files are not read. A model on the Hub is not checked.

    Args:
        path: folder of a model or of an adapter.
        names: files that have all weights, the preferred one first. Without them, the files of an index are checked.
    """
    folder = Path(path)
    if not folder.is_dir():
        return
    found = [folder / name for name in names if (folder / name).exists()][:1]
    for file in found or _shards(folder):
        try:
            _read_names(file)
        except Exception as error:  # a damaged file can cause any error in any of the libraries
            raise UnsupportedModelError(
                f"'{file}' cannot be read as weights: {_reason(error)}. Download the file again, or save the model "
                "again; safetensors files contain no code."
            ) from error


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


def _read_names(file: Path) -> None:
    """Read what a file contains, without its tensors; code in a pickled file is refused."""
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as weights:
            list(weights.keys())
    else:
        torch.load(file, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(file))


def _reason(error: Exception) -> str:
    """Return the reason in one line; that of torch about code is a page long."""
    return "it contains code" if "weights_only" in str(error) else first_line(error)
