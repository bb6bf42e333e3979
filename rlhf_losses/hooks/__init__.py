"""The extension door: hooks, the plugin manager, and the loss_registry of losses."""

from rlhf_losses.hooks.markers import hookimpl
from rlhf_losses.hooks.registry import LossEntry, LossRegistry, loss_registry, parse_loss

__all__ = ["LossRegistry", "LossEntry", "loss_registry", "hookimpl", "parse_loss"]
