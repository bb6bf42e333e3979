"""Times of the phases of a PPO run: generation, scoring, critic and update."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, MutableMapping, MutableSequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback

UPDATE_PHASE = "update"
"""The phase of a step while no other one is active: losses, gradients and the optimizer."""


class PhaseTimer(TrainerCallback):
    """Measure the share of each phase in the time of an optimizer step.

    Each moment belongs to the innermost active phase.

    Args:
        log: metrics of the training since the last log; gets a value of `time/{phase}` per step.
        print_line: prints a line of the summary at the end of the training.
        now: returns the time in seconds.

    Attributes:
        total: seconds of each phase over all steps.
    """

    def __init__(
        self,
        log: MutableMapping[str, MutableSequence[float]],
        print_line: Callable[[str], None],
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.log = log
        self.print_line = print_line
        self.now = now
        self.total: dict[str, float] = defaultdict(float)
        self._active: list[str] = []
        self._since = 0.0
        self._step: dict[str, float] = defaultdict(float)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of the context for a phase; outside of optimizer steps nothing is measured."""
        if not self._active:
            yield
            return
        self._add_elapsed()
        self._active.append(name)
        try:
            yield
        finally:
            self._add_elapsed()
            self._active.pop()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start to measure a step."""
        self._active, self._since = [UPDATE_PHASE], self.now()
        self._step.clear()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Log the shares of the step."""
        self._add_elapsed()
        self._active = []
        for phase, seconds in self._step.items():
            self.total[phase] += seconds
        for phase, share in shares(self._step).items():
            self.log[f"time/{phase}"].append(share)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Print the shares of all steps."""
        self.print_line("Share of each phase in the time of all steps:")
        for phase, share in sorted(shares(self.total).items(), key=lambda item: -item[1]):
            self.print_line(f"  {phase:<12}{share:z7.1%}{self.total[phase]:z10.2f} s")

    def _add_elapsed(self) -> None:
        now = self.now()
        self._step[self._active[-1]] += now - self._since
        self._since = now


def shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each phase in the total time.

    Examples:
        >>> shares({"generation": 3.0, "update": 1.0})
        {'generation': 0.75, 'update': 0.25}
    """
    total = sum(seconds.values()) or 1.0
    return {phase: spent / total for phase, spent in seconds.items()}


def synchronized_time(device: torch.device) -> float:
    """Return the time in seconds after all queued work of a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
