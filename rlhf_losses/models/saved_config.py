"""`config.json` of a reward model: what other programs need so that they return its raw score."""

import json
from pathlib import Path
from typing import Any

from transformers.utils import CONFIG_NAME

LABEL = "reward"
"""Name of the score in the output of a text-classification pipeline."""


def configure_as_reward_model(config: Any) -> None:
    """Set the problem type and the name of the only label.

    Without a problem type, transformers' pipeline and vLLM return the sigmoid of the score of a model with one label.
    The loss does not depend on it: it is computed from scores, and the model gets no labels.

    Args:
        config: configuration of a sequence classifier with one label, which changes in place.
    """
    config.problem_type = "regression"
    config.id2label, config.label2id = {0: LABEL}, {LABEL: 0}


def declare_float32(folder: Path) -> None:
    """Declare weights of lower precision as float32, so that programs compute scores in float32 unless told otherwise.

    transformers loads a model in the dtype of its configuration. In bfloat16 it would round scores to three digits,
    and so would the head, which is trained and saved in float32.

    Args:
        folder: folder of a saved model.
    """
    file = folder / CONFIG_NAME
    if not file.is_file():  # adapters have the configuration of their base
        return
    content = json.loads(file.read_text(encoding="utf-8"))
    if "quantization_config" in content:
        return
    for part in (content, *(value for value in content.values() if isinstance(value, dict))):
        if part.get("dtype") in ("bfloat16", "float16"):
            part["dtype"] = "float32"
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def declare_scale(folder: Path, mean: float, std: float) -> None:
    """Write the mean and the standard deviation of reference scores, by which OpenRLHF standardizes scores on request.

    The model keeps returning raw scores.

    Args:
        folder: folder of a saved model.
        mean: mean of the raw scores.
        std: their standard deviation.
    """
    file = folder / CONFIG_NAME
    if file.is_file():
        content = json.loads(file.read_text(encoding="utf-8")) | {"mean": mean, "std": std}
        file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
