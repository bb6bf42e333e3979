"""A token classifier with two labels as a sequence classifier with one score per step."""

import copy
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.models.architectures import is_encoder


def as_sequence_classifier(model: Any) -> Any:
    r"""Return a sequence classifier with the transformer of a token classifier; other models unchanged.

    Softmax over two labels is the sigmoid of their difference, so the score is

    $$s = z_1 - z_0, \qquad \sigma(s) = \text{softmax}(z)_1.$$

    Args:
        model: a token classifier with two labels, whose transformer is used, not copied; or any other model.

    Raises:
        UnsupportedModelError: other than two labels, an encoder, or a head whose bias prefers a label.
    """
    if not isinstance(model, PreTrainedModel) or not type(model).__name__.endswith("ForTokenClassification"):
        return model
    head = _head(model)
    if head is None or head.out_features != 2 or is_encoder(model):
        raise UnsupportedModelError(
            f"The {type(model).__name__} has num_labels={model.config.num_labels} and cannot be read as a score per "
            "step, which needs a causal model and the labels bad and good. Load the model with one label: "
            "AutoModelForSequenceClassification.from_pretrained(PATH, num_labels=1)."
        )
    if head.bias is not None and not head.bias[0].equal(head.bias[1]):
        raise UnsupportedModelError(
            f"The head of the {type(model).__name__} has the bias {head.bias.tolist()}, which prefers a label, and a "
            "score head has no bias. Train from the language model: "
            "AutoModelForSequenceClassification.from_pretrained(PATH, num_labels=1)."
        )
    return _with_score_head(model, (head.weight[1:] - head.weight[:1]).detach())


def _head(model: PreTrainedModel) -> nn.Linear | None:
    found = [getattr(model, name, None) for name in ("score", "classifier")]
    return next((one for one in found if isinstance(one, nn.Linear)), None)


def _with_score_head(model: Any, weight: torch.Tensor) -> PreTrainedModel:
    config = copy.deepcopy(model.config)
    config.num_labels = 1
    with torch.device("meta"):
        classifier: Any = AutoModelForSequenceClassification.from_config(config)
    setattr(classifier, classifier.base_model_prefix, model.base_model)
    classifier.score = nn.Linear(weight.shape[1], 1, bias=False)
    classifier.score.weight = nn.Parameter(weight.clone())
    classifier.name_or_path = model.name_or_path
    return classifier
