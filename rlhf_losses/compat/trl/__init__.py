"""The trainers that TRL has removed, with their names and arguments, on the trainers of this package.

A script needs another import only:

```python
from rlhf_losses.compat.trl import PPOConfig, PPOTrainer  # from trl.experimental.ppo import PPOConfig, PPOTrainer
from rlhf_losses.compat.trl import PRMConfig, PRMTrainer  # from trl.experimental.prm import PRMConfig, PRMTrainer
```

Names are imported on first use, so that the tables of settings need neither torch nor transformers.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlhf_losses.compat.trl.ppo_config import PPOConfig
    from rlhf_losses.compat.trl.ppo_trainer import PPOTrainer
    from rlhf_losses.compat.trl.prm_config import PRMConfig
    from rlhf_losses.compat.trl.prm_trainer import PRMTrainer

_MODULES = {
    "PPOConfig": "ppo_config",
    "PPOTrainer": "ppo_trainer",
    "PRMConfig": "prm_config",
    "PRMTrainer": "prm_trainer",
}

_VALUE_HEADS = ("AutoModelForCausalLMWithValueHead", "AutoModelForSeq2SeqLMWithValueHead", "PreTrainedModelWrapper")
"""Names of `trl.experimental.ppo` that its trainer does not use."""

__all__ = ["PPOConfig", "PPOTrainer", "PRMConfig", "PRMTrainer"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _VALUE_HEADS:
        raise ImportError(
            f"'{name}' has no place here: the critic is a model of its own. Pass the language model, and value_model "
            "or None; with shared_critic=True, rlhf_losses.PPOConfig has a head on the policy."
        )
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    globals()[name] = value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value
