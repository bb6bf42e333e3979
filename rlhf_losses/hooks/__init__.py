"""Plugins: hook specifications, the plugin manager and the registries of the classes that plugins provide."""

from rlhf_losses.hooks.registry import (
    ConverterRegistry,
    EstimateRegistry,
    LossRegistry,
    Registry,
    RegistryEntry,
    TransformRegistry,
    as_loss,
    converter_registry,
    estimate_registry,
    loss_registry,
    parse_loss,
    transform_registry,
)
from rlhf_losses.hooks.specs import hookimpl

__all__ = [
    "ConverterRegistry",
    "EstimateRegistry",
    "LossRegistry",
    "Registry",
    "RegistryEntry",
    "TransformRegistry",
    "as_loss",
    "converter_registry",
    "estimate_registry",
    "hookimpl",
    "loss_registry",
    "parse_loss",
    "transform_registry",
]
