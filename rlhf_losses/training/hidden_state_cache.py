"""Cache of hidden states after the frozen lower layers of a model.

With LoRA on upper layers only, the layers below the lowest adapter compute the same hidden states for a text in every
epoch. With `hidden_state_cache_gib` the trainer stores them per text, and a forward pass over stored texts starts at
the first trained layer.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.models.scores import find_layers
from rlhf_losses.models.text_batch import TextBatch

logger = logging.getLogger(__name__)


class HiddenStateCache:
    """Hidden states per text, up to a number of bytes.

    Trainers that start from the same weights and train the same layers can share one cache:
    `RewardTrainer(..., hidden_state_cache=trainer.cached_layers.cache)`, where `trainer` is an earlier `RewardTrainer`.

    Args:
        gib: largest size in GiB.

    Attributes:
        free_bytes: remaining size in bytes.
        states: hidden states of each text, of shape (tokens, hidden), by the key of the text.
    """

    def __init__(self, gib: float) -> None:
        self.free_bytes = gib * 2**30
        self.states: dict[bytes, Tensor] = {}
        self._fingerprint: bytes | None = None

    def store(self, key: bytes, states: Tensor) -> None:
        """Store the hidden states of a text, unless they are present or too large.

        Args:
            key: key of the text, see `TextTokens`.
            states: hidden states of shape (tokens, hidden).
        """
        size = states.numel() * states.element_size()
        if key not in self.states and size <= self.free_bytes:
            self.states[key] = states
            self.free_bytes -= size

    def bind(self, fingerprint: bytes) -> None:
        """Restrict the cache to frozen layers with this fingerprint.

        Raises:
            InvalidSettingError: the cache belongs to other layers.
        """
        if self._fingerprint not in (None, fingerprint):
            raise InvalidSettingError(
                "The hidden_state_cache has hidden states of other frozen layers, so the scores would be wrong. "
                "Omit it, or start from the same base model with LoRA on the same layers."
            )
        self._fingerprint = fingerprint


class CachedLayers:
    """The frozen lower layers of a model, which are skipped for texts with stored hidden states.

    Args:
        layers: all layers of the model, in order.
        depth: number of frozen layers, counted from the first.
        cache: the stored hidden states.

    Attributes:
        reused_passes: number of forward passes without the frozen layers.
    """

    def __init__(self, layers: nn.ModuleList, depth: int, cache: HiddenStateCache) -> None:
        self.layers, self.depth, self.cache = layers, depth, cache
        self.reused_passes = 0

    @contextmanager
    def use(self, batch: TextBatch) -> Iterator[None]:
        """Use stored hidden states in the `with` block if all texts have some; else store those of new texts.

        Args:
            batch: the texts of the forward pass in the `with` block.
        """
        if all(text.key in self.cache.states for text in batch.texts):
            with self._reusing(batch):
                yield
        else:
            with self._storing(batch):
                yield

    @contextmanager
    def _storing(self, batch: TextBatch) -> Iterator[None]:
        def store(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden = (args[0] if args else kwargs["hidden_states"]).detach().flatten(0, 1)
            for text in batch.texts:
                self.cache.store(text.key, hidden[torch.from_numpy(text.token_indices).to(hidden.device)])

        hook = self.layers[self.depth].register_forward_pre_hook(store, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    @contextmanager
    def _reusing(self, batch: TextBatch) -> Iterator[None]:
        self.reused_passes += 1
        frozen = list(self.layers[: self.depth])
        for number, layer in enumerate(frozen):
            self.layers[number] = _SkippedLayer(layer, self._stored(batch) if number == self.depth - 1 else None)
        try:
            yield
        finally:
            for number, layer in enumerate(frozen):
                self.layers[number] = layer

    def _stored(self, batch: TextBatch) -> Tensor:
        """Return the stored hidden states in the shape of the batch, (sequences, tokens, hidden)."""
        sequences, tokens = batch.model_inputs["input_ids"].shape
        example = self.cache.states[batch.texts[0].key]
        hidden = example.new_zeros(sequences * tokens, example.shape[-1])
        for text in batch.texts:
            hidden[torch.from_numpy(text.token_indices).to(hidden.device)] = self.cache.states[text.key]
        return hidden.view(sequences, tokens, -1)


class _SkippedLayer(nn.Module):
    """Replaces a layer: returns given hidden states, or its input; other attributes are those of the layer."""

    def __init__(self, layer: nn.Module, states: Tensor | None) -> None:
        super().__init__()
        self.layer, self.states = (layer,), states

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the layer, such as its type of attention."""
        return getattr(self.__dict__["layer"][0], name)

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden_states if self.states is None else self.states


def find_cached_layers(model: nn.Module, cache: HiddenStateCache) -> CachedLayers | None:
    """Return the frozen lower layers of a model; None, with a warning, if their hidden states change between epochs.

    Args:
        model: the model to train, with adapters.
        cache: stores their hidden states.

    Raises:
        InvalidSettingError: the cache belongs to other layers.
    """
    layers = find_layers(model)
    frozen = list(takewhile(lambda layer: not _is_trained(layer), layers or ()))
    reason = _find_reason(model, layers, len(frozen))
    if layers is None or reason is not None:
        logger.warning("Hidden-state cache: not used for this model, because %s.", reason)
        return None
    logger.info("Hidden-state cache: the hidden states after %d of %d layers are stored.", len(frozen), len(layers))
    cache.bind(_fingerprint(_parameters(_modules_before(layers[len(frozen)], model))))
    return CachedLayers(layers, len(frozen), cache)


def _find_reason(model: nn.Module, layers: nn.ModuleList | None, depth: int) -> str | None:
    """Return why the hidden states after the first `depth` layers may change between epochs, or None."""
    if layers is None:
        return f"{type(model).__name__} does not have its layers in one list"
    if depth in (0, len(layers)):
        return "its first layer is trained" if depth == 0 else "no layer of it is trained"
    lower = _modules_before(layers[depth], model)
    if any(parameter.requires_grad for parameter in _parameters(lower)):
        return "its embeddings, or modules after them, are trained"
    if any(_has_dropout(module) for module in lower):
        return "its embeddings or frozen layers have dropout"
    if any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
        return "gradient checkpointing computes its layers again"
    return None


def _is_trained(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


def _modules_before(layer: nn.Module, model: nn.Module) -> list[nn.Module]:
    """Return the modules that a model registers before a layer: embeddings, modules after them, and lower layers."""
    return list(takewhile(lambda module: module is not layer, model.modules()))


def _parameters(modules: Iterable[nn.Module]) -> Iterator[nn.Parameter]:
    return (parameter for module in modules for parameter in module.parameters(recurse=False))


def _has_dropout(module: nn.Module) -> bool:
    """Return whether a module has a dropout rate above 0, as a dropout module or as an attribute."""
    rates = [module.p] if isinstance(module, nn.Dropout) else [v for k, v in vars(module).items() if "dropout" in k]
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def _fingerprint(parameters: Iterable[nn.Parameter]) -> bytes:
    digest = blake2b()
    for parameter in parameters:
        digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.digest()
