"""What a card says about a run: the weights that were trained, and the settings that had an effect."""

from collections.abc import Iterable, Mapping
from typing import Any

from peft import LoraConfig, PeftModel


def trained_weights(model: Any) -> str:
    """Return which weights of a model were trained.

    Args:
        model: the model after the run; adapters are not merged.
    """
    if not isinstance(model, PeftModel):
        frozen = any(not parameter.requires_grad for parameter in model.parameters())
        return "a part of the weights" if frozen else "all weights"
    config: Any = model.peft_config[model.active_adapter]
    if not isinstance(config, LoraConfig):
        return f"adapters ({config.peft_type.value})"
    modules = config.target_modules
    named = f"`{modules}`" if isinstance(modules, str) else ", ".join(f"`{one}`" for one in sorted(modules or ()))
    present = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    others = ", ".join(f"`{one}`" for one in sorted(set(config.modules_to_save or ()) & present))
    return (
        f"LoRA adapters of rank {config.r} with `lora_alpha` {config.lora_alpha}"
        + (f" in {named}" if named else "")
        + (f", and all weights of {others}" if others else "")
    )


def effective_settings(configuration: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return settings of a run without those that had no effect.

    Args:
        configuration: values by name.
        names: the settings, in their order.

    Examples:
        >>> effective_settings({"max_steps": 20, "num_train_epochs": 3.0}, ["num_train_epochs", "max_steps"])
        {'max_steps': 20}
    """
    without = "num_train_epochs" if configuration["max_steps"] > 0 else "max_steps"
    return {name: configuration[name] for name in names if name != without and configuration.get(name) is not None}
