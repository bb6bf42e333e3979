"""What a run has measured since its last log, saved in each checkpoint, so that the logs after a resume are the same.

File format, `log_state_{rank}.pt`: a dictionary of plain numbers, lists and tensors with the keys of `LogState` and
`schema`. Checkpoints of earlier versions have no such file; their metrics since the last log are not known.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf_losses.errors import DamagedCheckpointError

SCHEMA = 1
"""Newest schema."""


@dataclass(frozen=True)
class LogState:
    """Measurements of one process.

    Attributes:
        loss: sum of the losses since the last log.
        total_loss: sum of the logged losses since the start of the run.
        last_logged_step: optimizer step of the last log.
        num_processes: number of processes.
        metrics: measurements of the trainer.
    """

    loss: Tensor
    total_loss: float
    last_logged_step: int
    num_processes: int
    metrics: Mapping[str, Any]

    def save(self, folder: Path, rank: int) -> None:
        """Save the measurements of process `rank` in a checkpoint."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        torch.save({"schema": SCHEMA} | content, folder / f"log_state_{rank}.pt")


def load_log_states(folder: Path) -> list[LogState]:
    """Return the measurements of each process, in the order of the processes; none for an earlier version.

    Args:
        folder: folder of the checkpoint.

    Raises:
        DamagedCheckpointError: a file has another schema or other keys.
    """
    ranks = {int(found[1]): file for file in folder.glob("log_state_*.pt") if (found := _RANK.search(file.name))}
    return [_load(file) for _, file in sorted(ranks.items())]


_RANK = re.compile(r"_(\d+)\.pt$")


def _load(file: Path) -> LogState:
    content = torch.load(file, map_location="cpu", weights_only=True)
    expected = {"schema", *(field.name for field in fields(LogState))}
    if content.get("schema") != SCHEMA or content.keys() != expected:
        raise DamagedCheckpointError(
            f"{file} has the schema {content.get('schema')} or other keys than this version of rlhf-losses writes. "
            "Resume with the version that wrote the checkpoint."
        )
    return LogState(**{name: value for name, value in content.items() if name != "schema"})
