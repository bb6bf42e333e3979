"""Changes to the files of a saved model."""

import json

from safetensors.torch import load_file, save_file


def change_head(folder, change) -> None:
    """Replace the weights of the score head by a function of them."""
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"] = change(weights["score.weight"])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_json(folder, name, **values) -> None:
    """Replace values in a JSON file."""
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
