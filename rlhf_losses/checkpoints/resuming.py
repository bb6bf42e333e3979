"""The checkpoint that a run resumes from: the newest whole one, or one that is named."""

import logging
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError, safe_open
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_pt_utils import safe_globals

from rlhf_losses.checkpoints.lost_processes import explained_process_errors
from rlhf_losses.checkpoints.manifest import find_damage, has_manifest
from rlhf_losses.checkpoints.rotation import checkpoint_folders
from rlhf_losses.errors import DamagedCheckpointError, RlhfLossesError
from rlhf_losses.messages.setting_names import setting

logger = logging.getLogger(__name__)

Resume = str | bool | None
"""A checkpoint; `True` or `"last"` for the newest whole one; `"auto"` for that or, without one, a new run."""

NEW_RUN = ("false", "no", "none", "")
NEWEST = ("true", "yes", "last")
AUTO = "auto"

OPTIMIZER_FILES = ("optimizer.pt", "optimizer.bin", "optimizer_*", "global_step*")
"""Patterns of the optimizer's state: that of torch, of FSDP, and of DeepSpeed."""

Decision = TypeVar("Decision")


def resolve_checkpoint(resume: Resume, run: Path) -> str | None:
    """Return the checkpoint to resume from, or None for a new run. The main process decides for all.

    Args:
        resume: what the user asks for.
        run: output folder of the run.

    Raises:
        DamagedCheckpointError: the named checkpoint is damaged or incomplete, or the run has no whole checkpoint.
    """
    word = str(resume).lower() if resume is not None else ""
    if word in NEW_RUN:
        return None
    if word in (*NEWEST, AUTO):
        return decided_by_main_process(lambda: newest_checkpoint(run, required=word != AUTO))
    decided_by_main_process(lambda: require_whole(Path(str(resume))))
    return str(resume)


def newest_checkpoint(run: Path, required: bool = True) -> str | None:
    """Return the newest whole checkpoint of a run; others that are newer are logged with the reason.

    Args:
        run: output folder of the run.
        required: raise an error if there is none, in place of returning None.

    Raises:
        DamagedCheckpointError: there is none, and it is required.
    """
    skipped = []
    for one in checkpoint_folders(run):
        problem = find_damage(one.path) or _missing_state(one.path)
        if problem is None:
            return str(one.path)
        logger.warning("'%s' is skipped, because %s.", one.path, problem)
        skipped.append(one.path)
    if not required:
        return None
    auto = setting("resume_from_checkpoint", AUTO)
    if not skipped:
        raise DamagedCheckpointError(
            f"'{run}' has no checkpoint to resume from. Give the folder of the run as output_dir, or start a new run: "
            f"{auto} resumes if there is a checkpoint, and else starts anew."
        )
    raise DamagedCheckpointError(
        f"'{run}' has no whole checkpoint to resume from: {', '.join(path.name for path in skipped)} cannot be used "
        f"({find_damage(skipped[0]) or _missing_state(skipped[0])}). Start anew with {auto}; to resume a checkpoint of "
        f"an earlier version, name its folder: {setting('resume_from_checkpoint', str(skipped[0]))}."
    )


def last_whole(run: str | Path) -> Path | None:
    """Return the newest checkpoint of a run whose files exist and have their sizes, without reading them.

    Args:
        run: output folder of the run.
    """
    folders = checkpoint_folders(Path(run))
    return next((one.path for one in folders if find_damage(one.path, contents=False) is None), None)


def require_whole(checkpoint: Path, state: bool = True) -> None:
    """Raise `DamagedCheckpointError` unless a checkpoint is whole; one of an earlier version has no manifest.

    Args:
        checkpoint: folder of the checkpoint.
        state: require the state of the optimizer too, to resume from it.
    """
    if not (checkpoint / TRAINER_STATE_NAME).is_file() and not has_manifest(checkpoint):
        raise DamagedCheckpointError(
            f"'{checkpoint}' is not a checkpoint: it has no {TRAINER_STATE_NAME}. "
            "Give a folder such as RUN/checkpoint-500."
        )
    no_manifest = not has_manifest(checkpoint)
    damage = find_damage(checkpoint)
    if no_manifest and damage and "unfinished" not in damage:
        damage = None  # an earlier version
    problem = damage or (_missing_state(checkpoint) if state else None)
    if problem is not None:
        raise DamagedCheckpointError(
            f"'{checkpoint}' cannot be {'resumed' if state else 'loaded'}, because {problem}. "
            f"{_alternative(checkpoint)}"
        )


@contextmanager
def reading_state(checkpoint: str | Path) -> Iterator[None]:
    """Convert errors of the `with` block about a checkpoint's files to one message.

    Args:
        checkpoint: folder of the checkpoint.

    Raises:
        DamagedCheckpointError: a file is not what a trainer writes.
        ProcessError: another process, which reads too, has ended.
    """
    try:
        with explained_process_errors():
            yield
    except (RlhfLossesError, KeyboardInterrupt):
        raise
    except Exception as error:
        folder = Path(checkpoint)
        file = next((name for name, read in _readers(folder) if _fails(read)), None)
        reason = f"{type(error).__name__}: {_first_line(error)}"
        problem = f"{file} is not a file that a trainer writes" if file else "its state does not fit this run"
        raise DamagedCheckpointError(
            f"'{checkpoint}' cannot be resumed, because {problem} ({reason}). {_alternative(folder)}"
        ) from error


def decided_by_main_process(decide: Callable[[], Decision]) -> Decision:
    """Return the result of a function that only the main process calls; its error is raised in every process.

    Args:
        decide: a function that reads files.
    """
    processes = PartialState()
    if processes.num_processes == 1:
        return decide()
    outcome: list[Any] = [None, None]
    if processes.is_main_process:
        try:
            outcome = [decide(), None]
        except RlhfLossesError as error:
            outcome = [None, error]
    decision, problem = broadcast_object_list(outcome)
    if problem is not None:
        raise problem
    result: Decision = decision
    return result


def _alternative(checkpoint: Path) -> str:
    """Return which checkpoint to use in place of one that is damaged."""
    others = [one.path for one in checkpoint_folders(checkpoint.parent) if one.path.name != checkpoint.name]
    other = next((path for path in others if find_damage(path) is None), None)
    if other is None:
        return "Resume from another checkpoint, or start the run again."
    return f"Resume from the newest whole checkpoint: '{other}'."


def _missing_state(folder: Path) -> str | None:
    """Return which state a checkpoint lacks without which a run would silently continue differently, or None."""
    if not _has(folder, OPTIMIZER_FILES) and not (folder / "scheduler.pt").exists():
        return "it has only the model (save_only_model), without the states of optimizer and learning rate"
    if not _has(folder, OPTIMIZER_FILES):
        return "optimizer.pt is missing"
    if not (folder / "scheduler.pt").is_file() and not _has(folder, ["global_step*"]):
        return "scheduler.pt is missing"
    return _missing_random_state([file.name for file in folder.glob("rng_state*.pth")])


def _missing_random_state(names: Sequence[str]) -> str | None:
    """Return which file with the state of the random numbers is missing; several processes write one each.

    Examples:
        >>> _missing_random_state(["rng_state_0.pth", "rng_state_2.pth"])
        'rng_state_1.pth is missing'
        >>> _missing_random_state(["rng_state.pth"])
    """
    if "rng_state.pth" in names:
        return None
    ranks = {int(found[1]) for name in names if (found := re.fullmatch(r"rng_state_(\d+)\.pth", name))}
    expected = range(max(ranks | {1}) + 1) if ranks else ()
    missing = next((f"rng_state_{rank}.pth" for rank in expected if rank not in ranks), None)
    return f"{missing or 'rng_state.pth'} is missing" if missing or not ranks else None


def _has(folder: Path, patterns: Sequence[str]) -> bool:
    return any(next(folder.glob(pattern), None) is not None for pattern in patterns)


def _readers(folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield a function for each state file of a checkpoint that fails if the file is not what it should be."""
    state = folder / TRAINER_STATE_NAME
    if state.is_file():
        yield state.name, partial(TrainerState.load_from_json, str(state))
    for file in sorted([*folder.glob("*.pt"), *folder.glob("*.pth")]):
        yield file.name, partial(_read_mapping, file)
    for file in sorted(folder.rglob("*.safetensors")):
        yield file.relative_to(folder).as_posix(), partial(safe_open, file, framework="pt")


def _read_mapping(file: Path) -> None:
    with safe_globals():
        content = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f"a {type(content).__name__}, not a dictionary")


def _fails(read: Callable[[], Any]) -> bool:
    try:
        read()
    except (Exception, SafetensorError):
        return True
    return False


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[0][:200].rstrip(".")
