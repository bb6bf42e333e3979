"""Run scripts in connected processes that are forked from one that has imported torch and TRL.

A new interpreter imports them for longer than most scripts run.
"""

import multiprocessing
import os
import runpy
import socket
import sys
import time
import traceback
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["rlhf_losses.training", "rlhf_losses.ppo", "rlhf_losses.scoring.evaluation"])

SECONDS = 240


def printed_by_forks(script: Path, processes: int, *arguments: str) -> str:
    """Run a script in connected processes, as `torchrun` does, and return what the first one prints.

    Raises:
        AssertionError: a process fails or takes too long; the message is what it prints to stderr.
    """
    port = _free_port()
    ranks = [
        FORKS.Process(target=_run, args=(script, arguments, rank, processes, port, dict(os.environ)))
        for rank in range(processes)
    ]
    for rank in ranks:
        rank.start()
    failed = _first_failed(ranks)
    for rank in ranks:
        rank.kill()
        rank.join()
    assert failed is None, _output(script, failed, "err").read_text()
    return "".join(_output(script, rank, "out").read_text() for rank in range(processes))


def _run(
    script: Path, arguments: tuple[str, ...], rank: int, processes: int, port: int, environment: dict[str, str]
) -> None:
    """Run the script as one of several processes; it ends the process."""
    connected = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    connected |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update(environment | {name: str(value) for name, value in connected.items()})
    for number, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(_output(script, rank, suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115 (until exit)
    sys.argv = [str(script), *arguments]
    try:
        runpy.run_path(str(script), run_name="__main__")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _first_failed(ranks: list[BaseProcess]) -> int | None:
    """Wait until all processes have ended or one has failed; return the failed one."""
    deadline = time.monotonic() + SECONDS
    while running := [rank for rank in ranks if rank.exitcode is None]:
        wait([rank.sentinel for rank in running], max(0.0, deadline - time.monotonic()))
        failed = [number for number, rank in enumerate(ranks) if rank.exitcode]
        if failed or time.monotonic() > deadline:
            return failed[0] if failed else ranks.index(running[0])
    return None


def _output(script: Path, rank: int, suffix: str) -> Path:
    return script.with_suffix(f".{rank}.{suffix}")


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
