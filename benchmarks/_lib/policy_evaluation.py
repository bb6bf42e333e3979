"""Evaluation of a policy on held-out prompts during the training with any trainer of TRL."""

import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from transformers import TrainerCallback

from benchmarks._lib.policy_training import COMPLETIONS_PER_ROLLOUT, STEPS_PER_ROLLOUT
from rlhf_losses.sandbox import SyntheticTask
from rlhf_losses.sandbox.loop import completion_kl


class PolicyEvaluation(TrainerCallback):
    """Evaluates the policy before the training and after some optimizer steps.

    Args:
        task: the task with the held-out prompts and the gold reward.
        scorer: the reward model.
        at_steps: indices of the optimizer steps after which the policy is evaluated, from 1.
        num_prompts: number of held-out prompts.
        num_completions: number of completions per prompt.

    Attributes:
        rows: one dictionary per evaluation: number of training completions, and the means of gold reward, proxy reward
            (score) and KL divergence in nats per completion.
    """

    def __init__(
        self,
        task: SyntheticTask,
        scorer: Callable[[list[str], list[str]], list[float]],
        at_steps: Collection[int],
        num_prompts: int = 64,
        num_completions: int = 4,
    ) -> None:
        self.task, self.scorer, self.at_steps = task, scorer, at_steps
        self.prompts, self.num_completions = task.heldout_prompts[:num_prompts], num_completions
        self.rows: list[dict[str, Any]] = []

    def on_train_begin(self, _args: Any, _state: Any, _control: Any, *, model: Any, **_: Any) -> None:
        self._evaluate(model, 0)

    def on_step_end(self, _args: Any, state: Any, _control: Any, *, model: Any, **_: Any) -> None:
        if state.global_step in self.at_steps:
            self._evaluate(model, state.global_step)

    def _evaluate(self, policy: Any, step: int) -> None:
        samples = self.task.sample(self.prompts, self.num_completions, seed=self.task.seed + 100 + step, policy=policy)
        scores = [x for s in samples for x in self.scorer([s.prompt] * len(s.completions), s.completions)]
        self.rows.append(
            {
                "completions": math.ceil(step / STEPS_PER_ROLLOUT) * COMPLETIONS_PER_ROLLOUT,
                "gold": self.task.sample_rewards(samples).mean().item(),
                "proxy": float(np.mean(scores)),
                "kl": completion_kl(self.task, policy, samples),
            }
        )


def log_spaced_steps(first: int, last: int, count: int) -> list[int]:
    """Return about `count` steps with logarithmic spacing, including the last one.

    Examples:
        >>> log_spaced_steps(2, 60, 5)
        [2, 4, 10, 25, 60]
    """
    return sorted({int(step) for step in np.geomspace(first, last, count).astype(int)} | {last})
