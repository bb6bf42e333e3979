"""Settings of TRL's defaults about which other libraries warn, although no user chose them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import TrainingArguments

NEW_NAMES = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
"""Settings that transformers has renamed, which TRL sets by their earlier names."""


def prepare_defaults(args: TrainingArguments) -> None:
    """Set renamed settings by their new names too, and no pinned memory without an accelerator.

    Args:
        args: a configuration, before transformers checks it.
    """
    for earlier, name in NEW_NAMES.items():
        if getattr(args, name, ...) is None:  # versions of transformers before the new names have no such setting
            setattr(args, name, getattr(args, earlier))
    if not getattr(torch, "accelerator", torch.cuda).is_available():  # torch.accelerator is new in torch 2.6
        args.dataloader_pin_memory = False


@contextmanager
def earlier_names_accepted() -> Iterator[None]:
    """While the context lasts, the earlier names that PEFT reads give no warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield
