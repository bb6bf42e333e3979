"""The reference of the KL penalty as a model in memory; TRL's trainer loads it from the path of the policy."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel
from trl.trainer import grpo_trainer


@contextmanager
def use_reference(reference: PreTrainedModel | None) -> Iterator[None]:
    """While the context lasts, TRL's trainer uses a model as the reference in place of one that it loads.

    Args:
        reference: the reference, for a policy that is a model; None has no effect.
    """
    load = grpo_trainer.create_model_from_path
    if reference is not None:
        grpo_trainer.create_model_from_path = lambda *_, **__: reference
    try:
        yield
    finally:
        grpo_trainer.create_model_from_path = load
