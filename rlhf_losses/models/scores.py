"""Scores of sequence classifiers: `score_batch(model, batch)` for training, evaluation and `Scorer`.

A forward hook on the score head collects the score of every token, so one forward pass gives the scores at any
positions of a text. The head runs in float32, also under autocast, because the resolution of bfloat16 near 16 is
0.125.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.models.architectures import is_causal_model, is_encoder, unpack_first_tokens, values_of_texts
from rlhf_losses.models.compilation import without_compilation
from rlhf_losses.models.text_batch import TextBatch
from rlhf_losses.shapes import Features, Scores

HEADS = ("score", "classifier")
"""Names of the score head in the sequence classifiers of transformers."""

CASTS_INPUT = "_rlhf_losses_casts_input"
"""Attribute of a head that has the hook `cast_input`."""


def score_batch(model: nn.Module, batch: TextBatch) -> Scores:
    """Return one float32 score for each entry of `batch.score_index`, in one forward pass.

    Args:
        model: a sequence classifier with one label, bare or wrapped by PEFT or DDP.
        batch: texts in a layout that the model supports.

    Raises:
        UnsupportedModelError: the model has one score per text, and an entry of `score_index` is inside a text.
    """
    _, scores = _run_head(model, batch)
    return _take(scores, batch).squeeze(-1)


def features_and_scores(model: nn.Module, batch: TextBatch) -> tuple[Features, Scores]:
    """Return the input vector of the head and the score for each entry of `batch.score_index`, in one forward pass.

    The scores are linear in the vectors.

    Args:
        model: a sequence classifier with one label, bare or wrapped by PEFT or DDP.
        batch: texts in a layout that the model supports.

    Raises:
        UnsupportedModelError: the head is not a linear map of one vector per score.
    """
    features, scores = _run_head(model, batch)
    if features.dim() != scores.dim():
        raise UnsupportedModelError(
            f"The head of {_class_name(model)} computes a score from all tokens of a text, so there is no single "
            "feature vector per score. Use a model with a linear head (Llama, Qwen, GPT-2, …)."
        )
    return _take(features, batch), _take(scores, batch).squeeze(-1)


def _run_head(model: nn.Module, batch: TextBatch) -> tuple[Tensor, Tensor]:
    """Return the inputs and outputs of the head: one per token, or one per text."""
    inputs = batch.model_inputs
    with (
        capture_head(find_head(model)) as calls,
        skip_unscored_tokens(model, batch.score_index),
        unpack_first_tokens(model, inputs),
    ):
        output = model(**inputs, use_cache=False)
    features, scores = calls[-1]
    mean_of_token_scores = scores.dim() == 3 and is_encoder(model)
    return features, output.logits if mean_of_token_scores else scores


def _take(values: Tensor, batch: TextBatch) -> Tensor:
    return values.flatten(0, 1)[batch.score_index] if values.dim() == 3 else values_of_texts(values, batch)


def find_head(model: nn.Module) -> nn.Module:
    """Return the score head of a sequence classifier, through any wrappers.

    Raises:
        UnsupportedModelError: no module is named as one of `HEADS`.
    """
    named: list[tuple[str, nn.Module]] = [
        (name, module) for name, module in model.named_modules() if name.rsplit(".", 1)[-1] in HEADS
    ]
    if not named:
        raise UnsupportedModelError(
            f"{_class_name(model)} has no module named {' or '.join(HEADS)}, so it gives no score. Use a model with a "
            "score head, such as Llama, Qwen, GPT-2 or BERT: "
            "AutoModelForSequenceClassification.from_pretrained(..., num_labels=1)."
        )
    return min(named, key=lambda pair: pair[0].count("."))[1]


def use_float32_head(model: nn.Module) -> None:
    """Convert the score head of a sequence classifier to float32, and let it accept hidden states of any dtype.

    Args:
        model: a sequence classifier, bare or wrapped by PEFT. It changes in place, and can be called, copied and
            pickled as before.
    """
    head = find_head(model).float()
    if CASTS_INPUT not in vars(head):
        vars(head)[CASTS_INPUT] = True
        head.register_forward_pre_hook(cast_input)


def cast_input(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of a module, with the first one in the dtype of its weights; a forward pre-hook.

    Args:
        module: any module.
        args: its positional arguments.
    """
    weight = next(module.parameters(), None)
    return args if weight is None or not args else (args[0].to(weight.dtype), *args[1:])


def _class_name(model: nn.Module) -> str:
    """Return the class name of the transformers model inside any wrappers."""
    return type(next((module for module in model.modules() if isinstance(module, PreTrainedModel)), model)).__name__


def find_layers(model: nn.Module) -> nn.ModuleList | None:
    """Return the list of transformer layers of a model, or None if there is no such list or more than one."""
    count = getattr(getattr(model, "config", None), "num_hidden_layers", None)
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == count]
    return lists[0] if len(lists) == 1 else None


@contextmanager
def skip_unscored_tokens(model: nn.Module, score_index: Tensor) -> Iterator[None]:
    """Run the last feed-forward network only at the tokens in `score_index`.

    Other positions of the last layer do not affect the scores and are skipped. The context has no effect on encoders,
    on compiled models and with gradient checkpointing.

    Args:
        model: a transformers model, bare or wrapped.
        score_index: indices of tokens in the flattened `input_ids`.
    """
    layers = find_layers(getattr(model, "module", model))
    network = getattr(layers[-1], "mlp", None) if layers else None
    if network is None or not is_causal_model(model) or _is_compiled(model) or _uses_checkpointing(model):
        yield
        return
    indices: Tensor = torch.unique(score_index)
    shape: list[torch.Size] = []

    def select(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        shape.append(args[0].shape)
        return (args[0].flatten(0, 1)[indices][None], *args[1:])

    def scatter(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):  # mixtures of experts may also return router logits
            return (scatter(_module, _args, output[0]), *output[1:])
        scattered = output.new_zeros(shape[-1]).flatten(0, 1).index_copy(0, indices, output[0])
        return scattered.view(shape[-1])

    hooks = [network.register_forward_pre_hook(select), network.register_forward_hook(scatter)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _is_compiled(model: nn.Module) -> bool:
    return any(hasattr(wrapper, "_orig_mod") for wrapper in (model, getattr(model, "module", model)))


def _uses_checkpointing(model: nn.Module) -> bool:
    return model.training and any(getattr(m, "gradient_checkpointing", False) for m in model.modules())


@contextmanager
def capture_head(head: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Run the head in float32 inside the context, and collect its inputs and outputs.

    A head without weights keeps the dtype of its input.

    Args:
        head: the score head of a model.

    Yields:
        A list, to which each call of the head appends its input and its output.
    """
    calls: list[tuple[Tensor, Tensor]] = []
    without_autocast = ExitStack()
    weight = next(head.parameters(), None)

    @without_compilation
    def enter(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if weight is None:
            return args
        without_autocast.enter_context(torch.autocast(weight.device.type, enabled=False))
        return (args[0].to(weight.dtype), *args[1:])

    @without_compilation
    def leave(_module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        without_autocast.close()
        calls.append((args[0], output))

    with without_autocast:
        before = head.register_forward_pre_hook(enter)
        after = head.register_forward_hook(leave)
        try:
            yield calls
        finally:
            before.remove()
            after.remove()
