"""Processes that a launcher started, according to its environment variables, and those that are connected."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.messages.setting_names import setting

if TYPE_CHECKING:
    from transformers import TrainingArguments


@dataclass(frozen=True)
class Launcher:
    """A program that starts processes.

    Attributes:
        name: how messages name it.
        size: environment variable with the number of processes.
        rank: environment variable with the number of a process, from 0.
        known: whether accelerate reads these variables on CPUs.
    """

    name: str
    size: str
    rank: str
    known: bool = True


LAUNCHERS = (
    Launcher("torchrun or accelerate launch", "WORLD_SIZE", "RANK"),
    Launcher("mpirun (Open MPI)", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    Launcher("mpirun (MPICH, Intel MPI)", "PMI_SIZE", "PMI_RANK"),
    Launcher("mpirun (MVAPICH)", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    # SLURM_NTASKS is the size of an allocation: it is also set in the single shell of salloc and of sbatch.
    Launcher("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", known=False),
    Launcher("jsrun", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK", known=False),
)
"""Launchers, in the order in which they are looked for."""


@dataclass(frozen=True)
class Launched:
    """What the environment of a process states about other processes.

    Attributes:
        launcher: the program that started them.
        count: their number, this one included.
        stated: the environment variable that states it, with its value.
    """

    launcher: Launcher
    count: int
    stated: str

    @property
    def without(self) -> str:
        """The beginning of a command that runs alone: it removes the variable."""
        return f"env -u {self.stated.split('=')[0]}"


def launched_processes(environment: Mapping[str, str] | None = None) -> Launched | None:
    """Return the largest number of processes that a launcher states, or None for a single process.

    Args:
        environment: environment variables; by default those of this process.

    Examples:
        >>> launched_processes({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}).stated
        'OMPI_COMM_WORLD_SIZE=2'
        >>> launched_processes({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) is None
        True
    """
    return max(_stated(os.environ if environment is None else environment), key=lambda one: one.count, default=None)


def is_first_process(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether this process is the first one of those that a launcher has started, or runs alone.

    Args:
        environment: environment variables; by default those of this process.
    """
    environment = os.environ if environment is None else environment
    return not any(_integer(environment.get(launcher.rank)) for launcher in LAUNCHERS)


def require_connectable(environment: Mapping[str, str] | None = None) -> None:
    """Raise `InvalidSettingError` if processes would wait for each other: no number of their own, or no address.

    Args:
        environment: environment variables, before accelerate connects the processes; by default those of this process.
    """
    environment = os.environ if environment is None else environment
    launched = launched_processes(environment)
    if launched is None or not launched.launcher.known or "LOCAL_RANK" in environment:
        return
    if not any(launcher.known and launcher.rank in environment for launcher in LAUNCHERS):
        raise InvalidSettingError(
            f"The environment has {launched.stated} and no number of this process (RANK), so the processes cannot "
            f"connect. Start them with torchrun, accelerate launch or mpirun, {_alone(launched)}"
        )
    from torch import distributed  # not above: the command line uses this module before it imports torch

    if "MASTER_ADDR" not in environment and not distributed.is_mpi_available():
        raise InvalidSettingError(
            f"{launched.launcher.name} has started {launched.count} processes ({launched.stated}), but MASTER_ADDR, "
            "the address of the first one, is not set, so they cannot connect. On one machine: "
            f"mpirun -x MASTER_ADDR=127.0.0.1 ..., {_alone(launched)}"
        )


def connect_on_cpus(args: "TrainingArguments", environment: Mapping[str, str] | None = None) -> None:
    """Connect the processes of a run on CPUs with its `ddp_timeout`, which transformers uses on accelerators only.

    Args:
        args: settings of the run, before transformers connects the processes.
        environment: environment variables; by default those of this process.
    """
    environment = os.environ if environment is None else environment
    on_cpu = args.use_cpu or environment.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1")
    if on_cpu and launched_processes(environment) is not None and args.ddp_backend in (None, "gloo"):
        from accelerate import PartialState

        PartialState(cpu=True, backend=args.ddp_backend, timeout=timedelta(seconds=args.ddp_timeout))


def require_connected(num_processes: int, synchronized: bool, environment: Mapping[str, str] | None = None) -> None:
    """Raise `InvalidSettingError` if a launcher started more processes than accelerate has connected.

    Each of them would train the same model alone, on all data, and write the same files.

    Args:
        num_processes: number of processes that accelerate sees.
        synchronized: whether accelerate averages gradients over these processes.
        environment: environment variables; by default those of this process.
    """
    environment = os.environ if environment is None else environment
    launched = launched_processes(environment)
    on_cpus = f"On CPUs set {setting('use_cpu', 'true', python='use_cpu=True')}"
    if num_processes > 1 and not synchronized:
        raise InvalidSettingError(
            f"{num_processes} processes are connected, but accelerate finds no accelerator and does not average their "
            f"gradients, so each would train another model. {on_cpus}."
        )
    if launched is not None and launched.count > num_processes:
        raise InvalidSettingError(
            f"{launched.launcher.name} has started {launched.count} processes ({launched.stated}), but accelerate "
            f"connects {num_processes} of them: each would train alone and write the same files. {on_cpus}, on GPUs "
            f"start them with torchrun or accelerate launch, {_alone(launched)}"
        )
    if launched is None and num_processes == 1 and _is_single_launch(environment):
        raise InvalidSettingError(
            "accelerate launch was told to start several processes on CPUs (it has set MASTER_PORT), but it starts one "
            "without --mpirun_hostfile FILE. Add this option, or use torchrun --nproc_per_node 2 with "
            f"{setting('use_cpu', 'true', python='use_cpu=True')}, or set --num_processes 1."
        )


def _stated(environment: Mapping[str, str]) -> Iterator[Launched]:
    for launcher in LAUNCHERS:
        size, rank = (_integer(environment.get(name)) for name in (launcher.size, launcher.rank))
        if size is not None and size > 1:
            yield Launched(launcher, size, f"{launcher.size}={size}")
        elif size is None and rank is not None and rank > 0:  # there is a process with a lower number
            yield Launched(launcher, rank + 1, f"{launcher.rank}={rank}")


def _is_single_launch(environment: Mapping[str, str]) -> bool:
    """Return whether `accelerate launch --cpu` has started this process for a number of processes above one."""
    on_cpu = environment.get("ACCELERATE_USE_CPU", "").lower() == "true"
    return on_cpu and "MASTER_PORT" in environment and "WORLD_SIZE" not in environment


def _alone(launched: Launched) -> str:
    return f"or run this process alone without the variable: {launched.without} COMMAND."


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdecimal() else None
