"""What happens between optimizer steps."""

from collections.abc import Callable
from typing import Any

from torch import nn
from transformers import TrainerCallback


class ZeroCriticGradients(TrainerCallback):
    """Clears the critic's gradients after each step: the trainer clears those of the policy only."""

    def __init__(self, critic: nn.Module) -> None:
        self.critic = critic

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.critic.zero_grad()


class EarlyStopping(TrainerCallback):
    """Gives a rollout up once the policy has moved too far from the one that wrote it.

    Args:
        limit: mean `approx_kl` of the micro-batches of an optimizer step beyond which the rollout is given up.
        give_up: forgets the rollout, so that the next step makes a new one.
    """

    def __init__(self, limit: float, give_up: Callable[[], None]) -> None:
        self.limit = limit
        self.give_up = give_up
        self.seen: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        seen, self.seen = self.seen, []
        if seen and sum(seen) / len(seen) > self.limit:
            self.give_up()
