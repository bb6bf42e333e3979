"""Layers below the first trained one give every text the same hidden states in every epoch: they can be kept.

With LoRA on upper layers only, autograd already goes no further down than the lowest adapter. What is left is the
forward pass of the layers below; with `hidden_state_cache_gib` its result is kept per text, and a pass whose texts
are all known starts at the first trained layer. Trainers that begin with one base, to compare losses, may share it.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_losses.data import ForwardPass
from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.models.scores import find_layers

logger = logging.getLogger(__name__)


class HiddenStateCache:
    """What frozen layers gave each text, as long as there is room, and the layers that gave it.

    Hand those of one trainer to the next, `RewardTrainer(..., hidden_state_cache=first.frozen.states)`, if both begin with
    the same weights and train the same layers.

    Args:
        gib: the memory that may be filled, in GiB.
    """

    def __init__(self, gib: float) -> None:
        self.room = gib * 2**30
        self.by_text: dict[bytes, Tensor] = {}
        self.origin: bytes | None = None

    def keep(self, key: bytes, states: Tensor) -> None:
        """Keep the states of a text that is new, if it fits."""
        size = states.numel() * states.element_size()
        if key not in self.by_text and size <= self.room:
            self.by_text[key] = states
            self.room -= size

    def come_from(self, origin: bytes) -> None:
        """Remember the layers that states come from, or raise `InvalidSettingError` if they come from others."""
        if self.origin not in (None, origin):
            raise InvalidSettingError(
                "The hidden_state_cache that arrived come from other frozen layers, so later layers would read states that "
                "this model never has. Leave them out, or start from the same base with LoRA on the same layers."
            )
        self.origin = origin


class CachedLayers:
    """The frozen lower layers of a model, which rest where their states are known.

    Args:
        layers: all layers of the model, in order.
        depth: how many of them, from the first, are frozen.
        states: what they gave each text so far.
    """

    def __init__(self, layers: nn.ModuleList, depth: int, states: HiddenStateCache) -> None:
        self.layers, self.depth, self.states = layers, depth, states
        self.recalled_passes = 0

    @contextmanager
    def use(self, one: ForwardPass) -> Iterator[None]:
        """While the context lasts, recall the hidden states of a pass, or keep them if they are new."""
        if all(key in self.states.by_text for key, _ in one["texts"]):
            with self._recalling(one):
                yield
        else:
            with self._keeping(one):
                yield

    @contextmanager
    def _keeping(self, one: ForwardPass) -> Iterator[None]:
        def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden = (args[0] if args else kwargs["hidden_states"]).detach().flatten(0, 1)
            for key, places in one["texts"]:
                self.states.keep(key, hidden[torch.from_numpy(places).to(hidden.device)])

        hook = self.layers[self.depth].register_forward_pre_hook(keep, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    @contextmanager
    def _recalling(self, one: ForwardPass) -> Iterator[None]:
        """Let stand-ins take the places of the frozen layers; the last one hands out what they gave."""
        self.recalled_passes += 1
        frozen = list(self.layers[: self.depth])
        for number, layer in enumerate(frozen):
            self.layers[number] = _StandIn(layer, self._states(one) if number == self.depth - 1 else None)
        try:
            yield
        finally:
            for number, layer in enumerate(frozen):
                self.layers[number] = layer

    def _states(self, one: ForwardPass) -> Tensor:
        lines, tokens = one["model_inputs"]["input_ids"].shape
        example = self.states.by_text[one["texts"][0][0]]
        hidden = example.new_zeros(lines * tokens, example.shape[-1])
        for key, places in one["texts"]:
            hidden[torch.from_numpy(places).to(hidden.device)] = self.states.by_text[key]
        return hidden.view(lines, tokens, -1)


class _StandIn(nn.Module):
    """Hands on the hidden states that it is given, or those of an earlier epoch; all else it has from its layer."""

    def __init__(self, layer: nn.Module, states: Tensor | None) -> None:
        super().__init__()
        self.layer, self.states = (layer,), states

    def __getattr__(self, name: str) -> Any:
        """Return what the layer has under a name, like its kind of attention."""
        return getattr(self.__dict__["layer"][0], name)

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden_states if self.states is None else self.states


def find_cached_layers(model: nn.Module, states: HiddenStateCache) -> CachedLayers | None:
    """Return the frozen lower layers of a model, or None, with a line that says why, where nothing can be kept."""
    reason = None
    layers = find_layers(model)
    depth = 0 if layers is None else next((n for n, layer in enumerate(layers) if _trained(layer)), len(layers))
    kept = _modules_before(layers[depth], model) if layers is not None and depth < len(layers) else []
    if layers is None:
        reason = f"{type(model).__name__} does not hold its layers in one list"
    elif not depth or depth == len(layers):
        reason = "its first layer is trained" if not depth else "no layer of it is trained"
    elif any(parameter.requires_grad for parameter in _parameters(kept)):
        reason = "its embeddings, or what follows them, are trained"
    elif any(_drops_out(module) for module in kept):
        reason = "its embeddings or frozen layers drop out at random"
    elif getattr(model, "is_gradient_checkpointing", False):
        reason = "gradient checkpointing computes its layers again by itself"
    if reason is not None or layers is None:
        logger.warning("Frozen layers: nothing is kept, because %s.", reason)
        return None
    logger.info("Frozen layers: the hidden states after %d of %d layers are kept.", depth, len(layers))
    states.come_from(_fingerprint(_parameters(kept)))
    return CachedLayers(layers, depth, states)


def _trained(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


def _modules_before(layer: nn.Module, model: nn.Module) -> list[nn.Module]:
    """Return what a model lists before a layer: its embeddings with what follows them, and the layers below."""
    return list(takewhile(lambda module: module is not layer, model.modules()))


def _parameters(modules: Iterable[nn.Module]) -> Iterator[nn.Parameter]:
    return (parameter for module in modules for parameter in module.parameters(recurse=False))


def _drops_out(module: nn.Module) -> bool:
    """Tell whether a module, which may have a rate of its own instead of a module for it, drops out at random."""
    rates = [module.p] if isinstance(module, nn.Dropout) else [v for k, v in vars(module).items() if "dropout" in k]
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def _fingerprint(parameters: Iterable[nn.Parameter]) -> bytes:
    digest = blake2b()
    for parameter in parameters:
        digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.digest()
