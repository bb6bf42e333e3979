"""Differences between architectures: encoders and decoders, position ids, context length, number of labels."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.models.text_batch import TextBatch

PADDING_OFFSET_MODEL_TYPES = frozenset(
    {
        "camembert", "data2vec-text", "ibert", "longformer", "luke", "markuplm", "mpnet", "roberta",
        "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
    }
)  # fmt: skip
"""Model types like RoBERTa: position ids start at `pad_token_id + 1`, so the context is shorter by as much."""

ONE_SCORE_PER_TEXT = (
    "model has one score per text and none for the steps inside a text. Use a loss on whole texts, or a model whose "
    "head scores every token (Llama, Qwen, GPT-2, …)."
)
"""End of the message for step scores of a model whose head scores whole texts."""


def is_causal_model(model: nn.Module) -> bool:
    """Return whether all attention layers are causal, as in a decoder.

    The result is False for a model whose layers have no attribute `is_causal`.
    """
    return _causality(model) == {True}


def is_encoder(model: nn.Module) -> bool:
    """Return whether all attention layers are bidirectional, as in an encoder.

    The result is False for a model whose layers have no attribute `is_causal`.
    """
    return _causality(model) == {False}


def _causality(model: nn.Module) -> set[bool]:
    return {bool(module.is_causal) for module in model.modules() if hasattr(module, "is_causal")}


def require_single_stack(config: Any) -> None:
    """Refuse encoder-decoder models such as T5, and single parts of them.

    Args:
        config: configuration of a model.

    Raises:
        UnsupportedModelError: the model type has an encoder and a decoder.
    """
    if config.is_encoder_decoder or getattr(type(config), "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"'{config.name_or_path}' has the model type {config.model_type}, an encoder with a decoder. Such models "
            "are not supported as reward models. Use a decoder (Llama, Qwen, GPT-2, …) or an encoder (BERT, "
            "ModernBERT, …)."
        )


def require_single_label(config: Any, source: str) -> None:
    """Refuse sequence classifiers with several labels.

    Args:
        config: configuration of a sequence classifier.
        source: the model in the error message: a path, a name on the Hub or a class name.

    Raises:
        UnsupportedModelError: `num_labels` is not 1.
    """
    if config.num_labels != 1:
        raise UnsupportedModelError(
            f"'{source}' has num_labels={config.num_labels}, but reward models require `num_labels=1`: rewards and "
            "values are one score per text. Load a model with num_labels=1, or replace its head and train it: "
            """rlhf-losses train --model_init_kwargs '{"ignore_mismatched_sizes": true}', in Python """
            "AutoModelForSequenceClassification.from_pretrained(..., num_labels=1, ignore_mismatched_sizes=True)."
        )


def first_position(model: nn.Module) -> int:
    """Return the first position id of a text: `padding_idx + 1` in models like RoBERTa, else 0."""
    padding = getattr(getattr(_body(model), "embeddings", None), "padding_idx", None)
    return 0 if padding is None else padding + 1


@contextmanager
def unpack_first_tokens(model: nn.Module, model_inputs: Mapping[str, Any]) -> Iterator[None]:
    """Pass the first token of each packed text to the head of an encoder as a separate sequence.

    The context has no effect on padded texts and on decoders.

    Args:
        model: an encoder or decoder with a score head.
        model_inputs: keyword arguments of the forward pass inside the context.
    """
    tree, body = model_inputs.get("tree"), _body(model)
    if tree is None or not tree.bidirectional or body is None:
        yield
        return
    first_tokens = torch.tensor(tree.offsets[:-1], device=model_inputs["input_ids"].device)

    def unpack(hidden: Tensor) -> Tensor:
        return hidden[0, first_tokens][:, None]

    def before_pooler(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (unpack(args[0]), *args[1:])

    def after_body(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        output.last_hidden_state = unpack(output.last_hidden_state)
        return output

    hooks = [body.register_forward_hook(after_body)]
    if isinstance(pooler := getattr(body, "pooler", None), nn.Module):
        hooks.append(pooler.register_forward_pre_hook(before_pooler))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def values_of_texts(values: Tensor, batch: TextBatch) -> Tensor:
    """Return the value of the text of each score, for a head with one value per text.

    Args:
        values: one value per text, shape (text, ...).
        batch: the batch; each entry of `score_index` is the last token of a text.

    Raises:
        UnsupportedModelError: an entry of `score_index` is inside a text.
    """
    inputs, score_index = batch.model_inputs, batch.score_index
    if "tree" in inputs:
        ends = torch.tensor(inputs["tree"].offsets[1:], device=score_index.device)
        text = torch.searchsorted(ends, score_index, right=True)
    else:
        mask = inputs["attention_mask"]
        text = score_index // mask.shape[1]
        ends = torch.arange(len(mask), device=score_index.device) * mask.shape[1] + mask.sum(dim=1)
    if bool((score_index != ends[text] - 1).any()):
        raise UnsupportedModelError(f"A score inside a text is required, but this {ONE_SCORE_PER_TEXT}")
    return values[text]


def _body(model: nn.Module) -> nn.Module | None:
    """Return the transformer below the head, through any wrappers."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            body = getattr(module, module.base_model_prefix, None)
            return body if isinstance(body, nn.Module) else None
    return None


def max_context_length(config: Any) -> int | None:
    """Return the maximum number of tokens of a text, or None if the configuration has no limit.

    Args:
        config: configuration of a model.
    """
    config = config.get_text_config()
    length = getattr(config, "max_position_embeddings", None)
    if not isinstance(length, int) or length <= 0:
        return None
    return length - config.pad_token_id - 1 if config.model_type in PADDING_OFFSET_MODEL_TYPES else length


def ensure_pad_token(config: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Set the padding token of a configuration without one, which sequence classifiers need for several texts.

    Scores do not depend on it: `score_batch` passes an attention mask, and takes scores at given tokens.

    Args:
        config: configuration of a model, which changes in place.
        tokenizer: its tokenizer.
    """
    config = config.get_text_config()
    if getattr(config, "pad_token_id", None) is None:
        others = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        config.pad_token_id = next(number for number in others if number is not None)


def longrope_threshold(config: Any) -> float:
    """Return the text length, in tokens, above which `longrope` models use their second set of rotary frequencies.

    The longest text of a forward pass determines the frequencies for all texts of the pass. The result is infinity for
    other models.

    Args:
        config: configuration of a model, for example of Phi 3 with 128k tokens.
    """
    config = config.get_text_config()
    parameters = getattr(config, "rope_parameters", None) or {}
    per_layer_type = [value for value in parameters.values() if isinstance(value, dict)]
    longrope = [rope for rope in (parameters, *per_layer_type) if rope.get("rope_type") == "longrope"]
    return min((rope["original_max_position_embeddings"] for rope in longrope), default=float("inf"))
