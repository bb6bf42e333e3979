"""One function, `score_batch(model, batch)`, gives the scores for training, evaluation and the scorer alike.

The scores come from the model's own score head, seen by a forward hook: it is applied to every token,
so the score of any position is there after one forward pass per text. The head runs in float32, also
under autocast: bfloat16 cannot tell scores near 16 apart that differ by 0.1.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.models.architectures import encoder_head_inputs, is_causal_model, is_encoder, whole_texts
from rlhf_losses.shapes import Features, Scores

HEADS = ("score", "classifier")
"""Names that transformers gives to the head of a sequence classifier."""


def score_batch(model: nn.Module, batch: Mapping[str, Any]) -> Scores:
    """Return one float32 score for each entry of `score_at`, in one forward pass.

    Args:
        model: a sequence classifier with one label, bare or wrapped by PEFT or DDP.
        batch: `model_inputs`, texts in a layout that the model takes; `score_at` of shape (scores), the token
            at which each score is read, counted along the lines of `input_ids`.

    Raises:
        UnsupportedModelError: the model scores whole texts only, and the batch asks for the score of a step.
    """
    _, scores = _through_head(model, batch)
    return _where_read(scores, batch).squeeze(-1)


def read_batch(model: nn.Module, batch: Mapping[str, Any]) -> tuple[Features, Scores]:
    """Return the vector that the head reads for each entry of `score_at`, and the score, in one forward pass.

    Args:
        model: as for `score_batch`; its scores are linear in these vectors.
        batch: as for `score_batch`.

    Raises:
        UnsupportedModelError: the head is no linear map of one vector a score.
    """
    features, scores = _through_head(model, batch)
    if features.dim() != scores.dim():
        raise UnsupportedModelError(
            f"The head of {type(model).__name__} reads all tokens of a text for one score, so there is no one vector "
            "behind a score. Take a model with a linear head (Llama, Qwen, GPT-2, …)."
        )
    return _where_read(features, batch), _where_read(scores, batch).squeeze(-1)


def _through_head(model: nn.Module, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return what went into the head and what came out of it, at every token or once a text."""
    inputs, resting = batch["model_inputs"], skip_unscored_tokens(model, batch["score_at"])
    with capture_head(find_head(model)) as seen, resting, encoder_head_inputs(model, inputs):
        output = model(**inputs, use_cache=False)
    features, scores = seen[-1]
    averaged = scores.dim() == 3 and is_encoder(model)  # an encoder whose score is a mean over its tokens'
    return features, output.logits if averaged else scores


def _where_read(values: Tensor, batch: Mapping[str, Any]) -> Tensor:
    return values.flatten(0, 1)[batch["score_at"]] if values.dim() == 3 else whole_texts(values, batch)


def find_head(model: nn.Module) -> nn.Module:
    """Return the score head of a sequence classifier, through any wrappers."""
    named = [(name, module) for name, module in model.named_modules() if name.rsplit(".", 1)[-1] in HEADS]
    if not named:
        raise UnsupportedModelError(
            f"{_class_name(model)} has no module called {' or '.join(HEADS)}, so there is no score to read. Give "
            "a model with one, like Llama, Qwen, GPT-2 or BERT: "
            "AutoModelForSequenceClassification.from_pretrained(..., num_labels=1)."
        )
    return min(named, key=lambda pair: pair[0].count("."))[1]


def _class_name(model: nn.Module) -> str:
    """Return the class of a model, under any wrappers."""
    return type(next((module for module in model.modules() if isinstance(module, PreTrainedModel)), model)).__name__


def find_layers(model: nn.Module) -> nn.ModuleList | None:
    """Return the list of a model's layers, or None where it has no such list, or several."""
    count = getattr(getattr(model, "config", None), "num_hidden_layers", None)
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == count]
    return lists[0] if len(lists) == 1 else None


@contextmanager
def skip_unscored_tokens(model: nn.Module, score_at: Tensor) -> Iterator[None]:
    """Run the last layer's feed-forward network at the tokens whose scores are read, and at no other.

    Nothing comes after the last layer that looks at another token, so the others would be computed for nobody.
    Left as they are: layers that are computed again for the gradient, or are compiled, and those of an encoder, whose
    head reads a text at its first token or at all of them.
    """
    layers = find_layers(getattr(model, "module", model))
    network = getattr(layers[-1], "mlp", None) if layers else None
    if network is None or not is_causal_model(model) or _compiled(model) or _recomputes(model):
        yield
        return
    read = score_at.unique()
    shape: list[torch.Size] = []

    def choose(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        shape.append(args[0].shape)
        return (args[0].flatten(0, 1)[read][None], *args[1:])

    def put_back(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):  # experts may tell their routing as well
            return (put_back(_module, _args, output[0]), *output[1:])
        lines, tokens, width = shape[-1]
        return output.new_zeros(lines * tokens, width).index_copy(0, read, output[0]).view(lines, tokens, width)

    before, after = network.register_forward_pre_hook(choose), network.register_forward_hook(put_back)
    try:
        yield
    finally:
        before.remove()
        after.remove()


def _compiled(model: nn.Module) -> bool:
    return any(hasattr(wrapper, "_orig_mod") for wrapper in (model, getattr(model, "module", model)))


def _recomputes(model: nn.Module) -> bool:
    return model.training and any(getattr(m, "gradient_checkpointing", False) for m in model.modules())


@contextmanager
def capture_head(head: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Run the head in float32 while the context lasts, and collect what it reads and what it returns.

    A head without weights, which passes on what it reads, has no precision of its own.
    """
    seen: list[tuple[Tensor, Tensor]] = []
    precise = ExitStack()
    weight = next(head.parameters(), None)

    @torch.compiler.disable
    def enter(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if weight is None:
            return args
        precise.enter_context(torch.autocast(weight.device.type, enabled=False))
        return (args[0].to(weight.dtype), *args[1:])

    @torch.compiler.disable
    def leave(_module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        precise.close()
        seen.append((args[0], output))

    with precise:
        before = head.register_forward_pre_hook(enter)
        after = head.register_forward_hook(leave)
        try:
            yield seen
        finally:
            before.remove()
            after.remove()
