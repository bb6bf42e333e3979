"""Clean stops of a run: a time limit, or a request such as a signal. The run saves a checkpoint and ends."""

import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from rlhf_losses.errors import InvalidSettingError

logger = logging.getLogger(__name__)

DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
UNITS = (86_400, 3_600, 60, 1)


def parse_duration(text: str | float) -> float:
    """Return a duration in seconds.

    Args:
        text: days, hours, minutes and seconds, each with its unit, or a number of seconds.

    Raises:
        InvalidSettingError: the text is no duration, or the duration is 0.

    Examples:
        >>> parse_duration("3h30m"), parse_duration("90m"), parse_duration("45")
        (12600.0, 5400.0, 45.0)
    """
    found = DURATION.fullmatch(str(text).strip().lower().replace(" ", ""))
    parts = [int(part) for part in found.groups(default="0")] if found else [0]
    seconds = float(sum(part * unit for part, unit in zip(parts, UNITS, strict=False)))
    if not found:
        seconds = _plain_seconds(text)
    if not 0 < seconds < float("inf"):
        raise InvalidSettingError(
            f"stop_after is {text!r}, which is not a duration above 0. Write hours, minutes and seconds, for example "
            "3h30m or 90m, or a number of seconds."
        )
    return seconds


def _plain_seconds(text: str | float) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0.0


class StopControl(TrainerCallback):
    """Stops a run with a checkpoint after a time limit or a request, in all processes after the same step.

    It also writes a checkpoint of the last step of an epoch or of the run after the epoch's own log and evaluation,
    which a run that resumes from it would miss. It must be the last callback.

    Args:
        stop_after: seconds from now, or None for no limit.

    Attributes:
        requested: whether this process is asked to stop.
        stopped: whether the run has stopped before its end.
        signal: number of the signal that asked any process to stop, or 0.
    """

    def __init__(self, stop_after: float | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.requested = False
        self.stopped = False
        self.signal = 0
        self._own_signal = 0
        self._now = now
        self._deadline = None if stop_after is None else now() + stop_after
        self._training = self._postponed = False
        self._saved_step = -1

    def request(self, signal: int = 0) -> None:
        """Ask the run to stop; a signal handler can call this at any time.

        Args:
            signal: number of the signal.
        """
        self.requested, self._own_signal = True, signal

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self._training, self.stopped = True, False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save and stop if requested; at the end of an epoch the checkpoint follows the epoch's log."""
        stops = self._stops(args, state)
        if stops:
            control.should_save = control.should_training_stop = True
        last = ends_epoch(state) or state.global_step >= state.max_steps
        if control.should_save and last and (stops or _acts_per_epoch(args)):
            control.should_save, self._postponed = False, True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save and stop after an evaluation, if requested during it."""
        if self._training and self._stops(args, state):
            control.should_training_stop = True
            control.should_save = control.should_save or not (
                ends_epoch(state) or self._saved_step == state.global_step
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Stop after a checkpoint, if requested during its write."""
        self._saved_step = state.global_step
        if self._stops(args, state):
            control.should_training_stop = True

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save if the checkpoint was postponed; a stop in the middle of an epoch is not its end."""
        if self.stopped and not ends_epoch(state):
            control.should_log = control.should_evaluate = control.should_save = False
        unsaved = self.stopped and self._saved_step != state.global_step
        if self._postponed or unsaved:
            control.should_save, self._postponed = True, False

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """End."""
        self._training = False

    def _stops(self, args: TrainingArguments, state: TrainerState) -> bool:
        """Return whether any process is asked to stop before the last step."""
        due = self.requested or (self._deadline is not None and self._now() >= self._deadline)
        stops, self.signal = largest_of_processes([int(due or self.stopped), self._own_signal], args)
        self.stopped = bool(stops) and state.global_step < state.max_steps
        return self.stopped


def ends_epoch(state: TrainerState) -> bool:
    """Return whether the last step was the last one of an epoch."""
    return state.epoch is not None and float(state.epoch).is_integer()


def largest_of_processes(values: Sequence[int], args: TrainingArguments) -> list[int]:
    """Return the largest value of any process at each place, so that all processes stop after the same step.

    Args:
        values: the values of this process.
        args: settings of the run.
    """
    if args.world_size == 1:
        return list(values)
    largest = torch.tensor(values, device=args.device)
    torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
    return [int(value) for value in largest]


def _acts_per_epoch(args: TrainingArguments) -> bool:
    return IntervalStrategy.EPOCH in (args.logging_strategy, args.eval_strategy)
