"""Training of a policy on the synthetic task with PPO, GRPO or RLOO."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox import SyntheticTask
from rlhf_losses.sandbox.loop import CPU_SETTINGS, lora_config
from rlhf_losses.sandbox.synthetic_task import MAX_COMPLETION_LENGTH

COMPLETIONS_PER_ROLLOUT, STEPS_PER_ROLLOUT = 32, 2


def train_policy(
    task: SyntheticTask,
    reward_funcs: Any,
    folder: Path,
    rollouts: int,
    trainer_class: Any = PPOTrainer,
    config_class: Any = PPOConfig,
    callbacks: Sequence[TrainerCallback] = (),
    critic: Any = None,
    **settings: Any,
) -> Any:
    """Train a policy with LoRA and return its trainer.

    Args:
        task: the task with the policy and the prompts.
        reward_funcs: reward functions.
        folder: output folder.
        rollouts: number of rollouts, each with 32 completions and two optimizer steps.
        trainer_class: trainer of this package or of TRL.
        config_class: its configuration.
        callbacks: callbacks of the trainer.
        critic: initial critic of PPO; by default that of the trainer.
        settings: further settings of the configuration.
    """
    for_ppo: dict[str, Any] = {"sanity_check": False} if config_class is PPOConfig else {}
    trainer = trainer_class(
        task.policy(),
        reward_funcs,
        config_class(
            str(folder),
            max_steps=STEPS_PER_ROLLOUT * rollouts,
            num_iterations=STEPS_PER_ROLLOUT,
            per_device_train_batch_size=COMPLETIONS_PER_ROLLOUT,
            max_completion_length=MAX_COMPLETION_LENGTH,
            seed=task.seed,
            **CPU_SETTINGS,
            **for_ppo,
            **settings,
        ),
        Dataset.from_dict({"prompt": list(task.train_prompts)}),
        processing_class=task.tokenizer,
        peft_config=lora_config(),
        callbacks=list(callbacks),
        **({} if critic is None else {"critic": critic}),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer
