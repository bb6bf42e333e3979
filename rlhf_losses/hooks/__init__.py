"""The extension door: hooks, the plugin manager, and the catalogue of losses."""

from rlhf_losses.hooks.markers import hookimpl
from rlhf_losses.hooks.registry import Catalogue, Entry, catalogue, parse_loss

__all__ = ["Catalogue", "Entry", "catalogue", "hookimpl", "parse_loss"]
