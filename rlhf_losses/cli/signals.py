"""Ctrl-C and SIGTERM during a command. This file imports no large package."""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rlhf_losses.processes.launchers import is_first_process, launched_processes

PASSED_ON = 2.0
"""Seconds within which a launcher passes on a signal that the processes have received too, as with SLURM."""

STOPPING = "\nStopping after this step, with a checkpoint. Ctrl-C again stops at once."


class Interruption(KeyboardInterrupt):
    """A command ends because of a signal.

    Args:
        message: the checkpoint, and how to continue.
        signal_number: number of the signal.
        at_once: whether the process does not wait for anything, such as an upload.
    """

    def __init__(self, message: str, signal_number: int, at_once: bool = False) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.at_once = at_once

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal_number


class StopSignals:
    """Context manager: Ctrl-C (SIGINT) and SIGTERM stop a run after its step, and else at once.

    While a run trains, the first signal requests a stop and the second stops at once. Before and after, the first one
    stops at once. A signal after one that stops at once ends the process without a message.

    Args:
        launched: whether a launcher has started this process, so that a signal can arrive twice.
        now: the clock, in seconds.

    Attributes:
        request: asks the run to stop because of a signal number, or None while nothing trains.
        received: number of the first signal during the training, or None.
    """

    def __init__(self, launched: bool | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.request: Callable[[int], None] | None = None
        self.received: int | None = None
        self._launched = launched_processes() is not None if launched is None else launched
        self._now = now
        self._last = -PASSED_ON
        self._ending = False

    def __enter__(self) -> Self:
        """Handle the signals."""
        self._process = os.getpid()
        self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore the previous handlers."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, *_: Any) -> None:
        if os.getpid() != self._process:
            _handle_in_worker(number)
            return
        last, self._last = self._last, self._now()
        if self._launched and self._last - last < PASSED_ON:
            return
        if self.request is not None and self.received is None:
            self.received = number
            self.request(number)
            if is_first_process():
                print(STOPPING, file=sys.stderr, flush=True)
        elif self._ending:
            os._exit(128 + number)
        else:
            self._ending = True
            raise Interruption("", number, at_once=True)


def _handle_in_worker(number: int) -> None:
    """In a process that loads data, which inherits the handlers: Ctrl-C is for the process that trains."""
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
