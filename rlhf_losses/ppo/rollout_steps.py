"""How many optimizer steps a rollout serves, in one line at the start of a run."""

import logging
from typing import Any

from transformers import TrainerCallback, TrainerState

from rlhf_losses.messages.setting_names import setting
from rlhf_losses.ppo.config import PPOConfig

logger = logging.getLogger(__name__)


class RolloutSteps(TrainerCallback):
    """Log how many optimizer steps a rollout serves, and whether logs between rollouts have no reward."""

    def on_train_begin(self, args: PPOConfig, state: TrainerState, *_: Any, **__: Any) -> None:
        """Log the line."""
        between = state.logging_steps if args.logging_strategy == "steps" else state.max_steps
        logger.info(
            "%s", describe_rollouts(args.generation_batch_size, args.steps_per_rollout, state.max_steps, between)
        )


def describe_rollouts(completions: int, steps: int, max_steps: int, logging_steps: int) -> str:
    """Return how many optimizer steps a rollout serves as text.

    As in `trl.GRPOTrainer`, the metrics of a rollout are in one log, the one of its first step. If they were in the
    logs of its other steps too, means over logs would count it several times.

    Args:
        completions: number of completions of a rollout, on all processes.
        steps: number of optimizer steps on a rollout.
        max_steps: number of optimizer steps of the run.
        logging_steps: number of optimizer steps between two logs.

    Examples:
        >>> describe_rollouts(32, 4, max_steps=40, logging_steps=10)
        'A rollout of 32 completions serves 4 optimizer steps: 40 steps are 10 rollouts.'
    """
    rollouts = -(-max_steps // steps)
    served = "1 optimizer step" if steps == 1 else f"{steps} optimizer steps"
    run = "1 rollout" if rollouts == 1 else f"{rollouts} rollouts"
    text = f"A rollout of {completions} completions serves {served}: {max_steps} steps are {run}."
    if logging_steps >= steps:
        return text
    given, enough = setting("logging_steps", logging_steps), setting("logging_steps", steps)
    return (
        f"{text} Its reward is in the log of the first of these steps, so with {given} other logs have none. With "
        f"{enough} every log has one."
    )
