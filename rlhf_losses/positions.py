"""How long a text a model reads, and the length at which it counts positions in another way."""

from typing import Any

from rlhf_losses.encoders import COUNTED_FROM_PADDING


def context_length(config: Any) -> int | None:
    """Return how many tokens a model reads, where its configuration says so."""
    config = config.get_text_config()
    length = getattr(config, "max_position_embeddings", None)
    if not isinstance(length, int) or length <= 0:
        return None
    return length - config.pad_token_id - 1 if config.model_type in COUNTED_FROM_PADDING else length


def length_of_change(config: Any) -> float:
    """Return the length in tokens beyond which one text changes the positions of all texts of its pass, or infinity.

    Models with `longrope` (Phi 3's long ones) have two sets of rotary frequencies; the longest text of a pass chooses.
    """
    config = config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(of_layers for of_layers in rope.values() if isinstance(of_layers, dict))]
    long = [kind for kind in kinds if kind.get("rope_type") == "longrope"]
    return min((kind["original_max_position_embeddings"] for kind in long), default=float("inf"))
