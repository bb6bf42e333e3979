"""Where the time of a step goes: each moment belongs to the innermost phase that is running."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback

REST = "update"
"""The phase of a step when no other is running: losses, gradients and the optimizer."""


class PhaseTimer(TrainerCallback):
    """Measures phases between the begin and the end of each optimizer step.

    Args:
        now: returns the time in seconds, once the accelerator has done what it was told.
        record: takes the share of each phase after every step.
        tell: prints the shares at the end of the training.
    """

    def __init__(
        self,
        record: Callable[[dict[str, float]], None],
        tell: Callable[[str], None],
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.record = record
        self.tell = tell
        self.now = now
        self.running: list[str] = []
        self.since = 0.0
        self.step: dict[str, float] = defaultdict(float)
        self.total: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Count the time of the block to a phase; outside of steps nothing is counted."""
        if not self.running:
            yield
            return
        self._switch()
        self.running.append(phase)
        try:
            yield
        finally:
            self._switch()
            self.running.pop()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.running, self.since = [REST], self.now()
        self.step.clear()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._switch()
        self.running = []
        for phase, seconds in self.step.items():
            self.total[phase] += seconds
        self.record({f"time/{phase}": share for phase, share in shares(self.step).items()})

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.tell("Share of the time of all steps:")
        for phase, share in sorted(shares(self.total).items(), key=lambda item: -item[1]):
            self.tell(f"  {phase:<12}{share:7.1%}{self.total[phase]:10.2f} s")

    def _switch(self) -> None:
        now = self.now()
        self.step[self.running[-1]] += now - self.since
        self.since = now


def shares(seconds: dict[str, float]) -> dict[str, float]:
    """Return the share of each phase.

    >>> shares({"generation": 3.0, "update": 1.0})
    {'generation': 0.75, 'update': 0.25}
    """
    total = sum(seconds.values()) or 1.0
    return {phase: spent / total for phase, spent in seconds.items()}
