"""State of a PPO run in a checkpoint, apart from models and optimizer.

File format, `ppo_state_{rank}.pt`: a dictionary of plain numbers and tensors with the key `schema`. Schema 3 has the
fields of `PPOState`. Files of schema 2, and files without the key `schema` (schema 1), are upgraded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from rlhf_losses.checkpoints.resuming import reading_state
from rlhf_losses.errors import UnsupportedModelError

SCHEMA = 3
"""Newest schema."""

STATE_FILE = "ppo_state_{rank}.pt"
"""Name of the file of a process; every process has its own rollout."""


@dataclass(frozen=True)
class PPOState:
    """State of one process.

    Attributes:
        step: number of micro-batches so far.
        buffered_inputs: batches of the current rollout, or None.
        beta: coefficient of the KL penalty.
        reward_stats: running statistics of the rewards, see `RewardPipeline.state_dict`.
        value_shift: constant in the values of the critic.
    """

    step: int
    buffered_inputs: list[dict[str, Any]] | None
    beta: float
    reward_stats: list[dict[str, float]]
    value_shift: float = 0.0

    def save(self, folder: str | Path, rank: int) -> None:
        """Save the state of process `rank` in a checkpoint, whose folder another process may not have created yet."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        torch.save({"schema": SCHEMA} | content, Path(folder, STATE_FILE.format(rank=rank)))

    @classmethod
    def load(cls, folder: str | Path, rank: int, device: torch.device) -> "PPOState":
        """Load the state of process `rank` from a checkpoint.

        Raises:
            UnsupportedModelError: the checkpoint has no state of this process, or a state of an unknown schema.
            DamagedCheckpointError: the file is not one that `save` writes.
        """
        path = Path(folder, STATE_FILE.format(rank=rank))
        if not path.is_file():
            raise UnsupportedModelError(
                f"{path} does not exist, so process {rank} cannot continue its rollout: the run had fewer processes, "
                "or the checkpoint comes from another trainer. Resume with the number of processes of the original run."
            )
        place = "cpu" if device.type == "cpu" else device  # torch restores nothing to cpu:0
        with reading_state(folder):
            content = torch.load(path, map_location=place, weights_only=True)
            state = upgrade(content, str(path))
        return cls(**state)


def upgrade(content: Mapping[str, Any], source: str = "state") -> dict[str, Any]:
    """Return the fields of `PPOState` from the content of a file of any known schema.

    Args:
        content: content of a state file.
        source: name of the file, for messages.

    Raises:
        UnsupportedModelError: the schema is newer than this version, or keys are missing or unknown.

    Examples:
        >>> old = {"micro_batches": 3, "rollout": None, "coefficient": 0.1, "scales": []}
        >>> upgrade(old)
        {'step': 3, 'buffered_inputs': None, 'beta': 0.1, 'reward_stats': [], 'value_shift': 0.0}
    """
    state = dict(content)
    schema = state.pop("schema", 1)
    if schema not in (1, 2, SCHEMA):
        raise UnsupportedModelError(
            f"{source} has schema {schema}, but this version of rlhf-losses supports schemas 1 to {SCHEMA}. "
            "Resume with the version that wrote the checkpoint, or a newer one."
        )
    expected = {1: SCHEMA_1_NAMES.keys(), 2: set(SCHEMA_1_NAMES.values())}.get(schema) or {
        field.name for field in fields(PPOState)
    }
    if state.keys() != expected:
        different = ", ".join(sorted(state.keys() ^ expected))
        raise UnsupportedModelError(
            f"{source} has missing or unknown keys ({different}), so it is no PPO state of schema {schema}. "
            "Resume from a checkpoint of PPOTrainer."
        )
    state = _from_schema_1(state) if schema == 1 else state
    return state if schema == SCHEMA else state | {"value_shift": 0.0}


SCHEMA_1_NAMES = {
    "micro_batches": "step",
    "rollout": "buffered_inputs",
    "coefficient": "beta",
    "scales": "reward_stats",
}
"""Field names of schema 2 by those of schema 1."""


def _from_schema_1(content: Mapping[str, Any]) -> dict[str, Any]:
    state = {SCHEMA_1_NAMES[name]: value for name, value in content.items()}
    state["reward_stats"] = [
        {"count": stats["count"], "mean": stats["mean"], "m2": stats["squares"]} for stats in state["reward_stats"]
    ]
    return state
