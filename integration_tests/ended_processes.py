"""Connected processes that are copies of the process of the tests, without a launcher, and how each of them ended."""

import multiprocessing
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: its exit code; negative for a signal, and None if it had to be ended after the time limit.
        output: what it printed.
    """

    code: int | None
    output: str


def run_forked(task: Callable[[int], None], folder: Path, processes: int = 2, timeout: float = 60) -> list[Ended]:
    """Run a function in several connected processes, and return how each of them ended.

    Args:
        task: called with the number of the process, from 0.
        folder: a folder for the output.
        processes: number of processes.
        timeout: time limit in seconds; processes that run longer are ended.
    """
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    files = [folder / f"process-{rank}.txt" for rank in range(processes)]
    started = [
        context.Process(target=_enter, args=(task, rank, processes, port, file)) for rank, file in enumerate(files)
    ]
    for one in started:
        one.start()
    deadline = time.monotonic() + timeout
    for one in started:
        one.join(max(0.0, deadline - time.monotonic()))
    codes = [one.exitcode for one in started]
    for one in started:
        one.kill()
        one.join()
    return [Ended(code, file.read_text()) for code, file in zip(codes, files, strict=True)]


def _enter(task: Callable[[int], None], rank: int, processes: int, port: int, file: Path) -> None:
    """Run the task as a process of `torchrun` would, and end without the interpreter's clean-up."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    output = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    code = 0
    try:
        task(rank)
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)
