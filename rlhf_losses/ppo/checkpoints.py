"""What a checkpoint of PPO holds beside the policy, so that a killed run ends where an unbroken one does."""

from pathlib import Path
from typing import Any

import torch

from rlhf_losses.errors import UnsupportedModelError

CRITIC_FOLDER = "critic"
STATE = "ppo_state_{rank}.pt"
"""One file a process: each has made its own part of the rollout."""


def save_state(folder: str | Path, rank: int, state: dict[str, Any]) -> None:
    """Write what a process needs to go on: plain numbers and tensors."""
    torch.save(state, Path(folder, STATE.format(rank=rank)))


def load_state(folder: str | Path, rank: int, device: torch.device) -> dict[str, Any]:
    """Read back what `save_state` wrote.

    Raises:
        UnsupportedModelError: there is no state of this process.
    """
    path = Path(folder, STATE.format(rank=rank))
    if not path.is_file():
        raise UnsupportedModelError(
            f"There is no {path}, so process {rank} does not know where it was in its rollout; the run had fewer "
            "processes or was another trainer's. Resume with as many processes as the run began with."
        )
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state
