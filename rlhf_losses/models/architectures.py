"""Encoders: every token sees the whole text, which has one score; most heads read its first token."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_losses.errors import UnsupportedModelError

COUNTED_FROM_PADDING = frozenset(
    {
        "camembert", "data2vec-text", "ibert", "longformer", "luke", "markuplm", "mpnet", "roberta",
        "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
    }
)  # fmt: skip
"""RoBERTa and its kin: their positions count from after the padding token's number, so that they have fewer of them."""

HEAD_OF_TEXTS = (
    "model's head gives one score a text, so the steps inside a text have none. Take a loss that reads whole texts, or "
    "a model whose head reads every token (Llama, Qwen, GPT-2, …)."
)


def is_causal_model(model: nn.Module) -> bool:
    """Tell whether each token sees those before it alone, as in a decoder; a model that does not say so is none."""
    return _directions(model) == {True}


def is_encoder(model: nn.Module) -> bool:
    """Tell whether each token sees the whole text, as in an encoder; a model that does not say so is none."""
    return _directions(model) == {False}


def _directions(model: nn.Module) -> set[bool]:
    return {bool(module.is_causal) for module in model.modules() if hasattr(module, "is_causal")}


def require_single_stack(config: Any) -> None:
    """Raise `UnsupportedModelError` for an encoder with a decoder behind it, like T5, or for one part of such a model."""
    if config.is_encoder_decoder or getattr(type(config), "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"'{config.name_or_path}' is of the type {config.model_type}, an encoder with a decoder: both read the "
            "text, and scores of such models are not read here. Give a language model (Llama, Qwen, GPT-2, …) or an "
            "encoder alone (BERT, ModernBERT, …)."
        )


def first_position(model: nn.Module) -> int:
    """Return the number of a text's first position; RoBERTa and its kin count from after the padding token's."""
    padding = getattr(getattr(_body(model), "embeddings", None), "padding_idx", None)
    return 0 if padding is None else padding + 1


@contextmanager
def encoder_head_inputs(model: nn.Module, model_inputs: Mapping[str, Any]) -> Iterator[None]:
    """Let the head of an encoder find the texts of a row as lines, each with its first token alone.

    Nothing happens where texts are on lines already, or where tokens look back only.
    """
    tree, body = model_inputs.get("tree"), _body(model)
    if tree is None or not tree.both_ways or body is None:
        yield
        return
    firsts = torch.tensor(tree.starts[:-1], device=model_inputs["input_ids"].device)

    def on_lines(hidden: Tensor) -> Tensor:
        return hidden[0, firsts][:, None]

    def before_pooler(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (on_lines(args[0]), *args[1:])

    def after_body(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        output.last_hidden_state = on_lines(output.last_hidden_state)
        return output

    hooks = [body.register_forward_hook(after_body)]
    if isinstance(pooler := getattr(body, "pooler", None), nn.Module):
        hooks.append(pooler.register_forward_pre_hook(before_pooler))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def whole_texts(values: Tensor, batch: Mapping[str, Any]) -> Tensor:
    """Return, for each entry of `score_at`, the one value of its text; the entry is at the text's end.

    Raises:
        UnsupportedModelError: an entry is inside a text.
    """
    inputs, read = batch["model_inputs"], batch["score_at"]
    if "tree" in inputs:
        ends = torch.tensor(inputs["tree"].starts[1:], device=read.device)
        text = torch.searchsorted(ends, read, right=True)
    else:
        mask = inputs["attention_mask"]
        text = read // mask.shape[1]
        ends = torch.arange(len(mask), device=read.device) * mask.shape[1] + mask.sum(dim=1)
    if bool((read != ends[text] - 1).any()):
        raise UnsupportedModelError(f"This {HEAD_OF_TEXTS}")
    return values[text]


def _body(model: nn.Module) -> nn.Module | None:
    """Return what lies below the head, through any wrappers."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            body = getattr(module, module.base_model_prefix, None)
            return body if isinstance(body, nn.Module) else None
    return None


def max_context_length(config: Any) -> int | None:
    """Return how many tokens a model reads, where its configuration says so."""
    config = config.get_text_config()
    length = getattr(config, "max_position_embeddings", None)
    if not isinstance(length, int) or length <= 0:
        return None
    return length - config.pad_token_id - 1 if config.model_type in COUNTED_FROM_PADDING else length


def longrope_threshold(config: Any) -> float:
    """Return the length in tokens beyond which one text changes the positions of all texts of its pass, or infinity.

    Models with `longrope` (Phi 3's long ones) have two sets of rotary frequencies; the longest text of a pass chooses.
    """
    config = config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(of_layers for of_layers in rope.values() if isinstance(of_layers, dict))]
    long = [kind for kind in kinds if kind.get("rope_type") == "longrope"]
    return min((kind["original_max_position_embeddings"] for kind in long), default=float("inf"))
