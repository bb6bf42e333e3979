"""Signals in the workers of a data loader: those that reach all processes of a job are for the one that trains."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Any

from torch.utils.data import DataLoader


def leave_signals_to_main_process(loader: DataLoader[Any]) -> DataLoader[Any]:
    """Let the workers of a data loader ignore signals but those of this process, so that the run can save a checkpoint.

    SLURM and `torchrun` send SIGTERM to all processes, and a terminal sends Ctrl-C to them. A worker that ends breaks
    the step.

    Args:
        loader: a data loader that has not started its workers.

    Returns:
        The data loader.
    """
    started = getattr(loader, "base_dataloader", loader)  # accelerate wraps the one that starts the workers
    if started.num_workers > 0 and not isinstance(started.worker_init_fn, _Worker):
        started.worker_init_fn = _Worker(started.worker_init_fn)
    return loader


@dataclass(frozen=True)
class _Worker:
    """The function that a worker of the data loader calls first.

    Attributes:
        init: the function that the worker would call without this one, or None.
    """

    init: Callable[[int], None] | None

    def __call__(self, worker: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if sys.platform == "linux":  # others cannot tell who has sent a signal
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            Thread(target=_end_when_parent_asks, args=(os.getppid(),), daemon=True).start()
        if self.init is not None:
            self.init(worker)


def _end_when_parent_asks(parent: int) -> None:
    """End this process at a SIGTERM of its parent, without an error, as torch's handler does; ignore others."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
