"""Gold, proxy and KL of a policy on held-out prompts, measured alike while any trainer of TRL trains it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from transformers import TrainerCallback

from rlhf_losses.sandbox.loop import completion_kl
from rlhf_losses.sandbox.world import World

Score = Callable[[list[str], list[str]], list[float]]


@dataclass(frozen=True)
class Look:
    """What was seen after some completions: means over held-out completions, KL in nats a completion."""

    completions: int
    gold: float
    proxy: float
    kl: float


class Watch(TrainerCallback):
    """Look at the policy before training and after some optimizer steps.

    A rollout has `rollout` completions and is trained on for `passes` steps.
    """

    def __init__(
        self, world: World, scorer: Score, steps: Collection[int], rollout: int, passes: int, prompts: int, count: int
    ) -> None:
        self.world, self.scorer, self.steps = world, scorer, steps
        self.rollout, self.passes = rollout, passes
        self.prompts, self.count = world.heldout_prompts[:prompts], count
        self.seen: list[Look] = []

    def on_train_begin(self, _args: Any, _state: Any, _control: Any, *, model: Any, **_: Any) -> None:
        self._look(model, 0)

    def on_step_end(self, _args: Any, state: Any, _control: Any, *, model: Any, **_: Any) -> None:
        if state.global_step in self.steps:
            self._look(model, state.global_step)

    def _look(self, policy: Any, step: int) -> None:
        samples = self.world.sample(self.prompts, self.count, seed=self.world.seed + 100 + step, policy=policy)
        proxy = [x for s in samples for x in self.scorer([s.prompt] * len(s.completions), s.completions)]
        rollouts = -(-step // self.passes)
        gold, kl = self.world.gold(samples).mean().item(), completion_kl(self.world, policy, samples)
        self.seen.append(Look(rollouts * self.rollout, gold, float(np.mean(proxy)), kl))

    def rows(self, **columns: Any) -> list[dict[str, Any]]:
        """Return what was seen as rows of a table, after columns that say of which run."""
        return [columns | asdict(look) for look in self.seen]


def spread(first: int, last: int, count: int) -> list[int]:
    """Return about `count` steps, closer to each other at the beginning, the last one among them.

    >>> spread(2, 60, 5)
    [2, 4, 10, 25, 60]
    """
    return sorted({int(step) for step in np.geomspace(first, last, count).astype(int)} | {last})


def column(rows: Sequence[dict[str, Any]], name: str, **equal: Any) -> np.ndarray:
    """Return one column of the rows in which other columns have given values."""
    return np.array([row[name] for row in rows if all(row[key] == value for key, value in equal.items())])
