"""Names of the checkpoints of a run, and removal of old ones after a new one is whole.

A folder is renamed before its files are deleted, so no name of a checkpoint has a folder of which files are missing.
"""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rlhf_losses.checkpoints.manifest import has_manifest

REPLACED = "replaced-"
"""Before the name of a whole checkpoint, while another one of the same step is written."""

DELETED = "deleted-"
"""Before the name of a folder while its files are deleted."""

NAME = re.compile(rf"^(?:{REPLACED})?checkpoint-(\d+)$")


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder with the name of a checkpoint.

    Attributes:
        step: number of optimizer steps.
        path: the folder.
    """

    step: int
    path: Path


def checkpoint_folders(run: Path) -> list[CheckpointFolder]:
    """Return the folders of a run that have the name of a checkpoint, the newest first.

    Args:
        run: output folder of the run.

    Examples:
        >>> import tempfile
        >>> run = Path(tempfile.mkdtemp())
        >>> for name in ("checkpoint-5", "checkpoint-10", "logs"):
        ...     (run / name).mkdir()
        >>> [one.path.name for one in checkpoint_folders(run)]
        ['checkpoint-10', 'checkpoint-5']
    """
    paths = run.iterdir() if run.is_dir() else ()
    found = [
        CheckpointFolder(int(name[1]), path) for path in paths if (name := NAME.match(path.name)) and path.is_dir()
    ]
    return sorted(found, key=lambda one: (one.step, not one.path.name.startswith(REPLACED)), reverse=True)


def find_best(best: str, checkpoint: Path) -> str | None:
    """Return the checkpoint of the best model, or None if it does not exist any more.

    The folder of a run can have been moved or copied, so a checkpoint of that name beside the one that the run resumes
    from has precedence over the recorded path.

    Args:
        best: the recorded path.
        checkpoint: the checkpoint that the run resumes from.
    """
    names = (Path(best).name, REPLACED + Path(best).name.removeprefix(REPLACED))
    beside = [path for path in map(checkpoint.absolute().with_name, names) if has_manifest(path)]
    found = [str(checkpoint.parent / path.name) for path in beside] or [best]
    return found[0] if Path(found[0]).is_dir() else None


def make_room(folder: Path) -> None:
    """Remove a folder of the name of a new checkpoint; a whole checkpoint is kept under another name for now.

    Args:
        folder: folder of the new checkpoint.
    """
    if not folder.is_dir():
        return
    if has_manifest(folder):
        replaced = folder.with_name(REPLACED + folder.name)
        _delete([replaced])
        folder.rename(replaced)
    else:
        _delete([folder])


def remove_old_checkpoints(new: Path, limit: int | None, best: str | None) -> None:
    """Remove the oldest checkpoints of a run beyond a limit. Folders without a manifest neither count nor are removed.

    Args:
        new: the newest checkpoint, which is whole and is kept.
        limit: largest number of checkpoints; None or 0 is no limit.
        best: the checkpoint of the best model, which is kept; or None.
    """
    leftovers = [path for path in new.parent.glob(f"{DELETED}checkpoint-*") if path.is_dir()]
    _delete([new.with_name(REPLACED + new.name), *leftovers])
    if not limit or limit < 0:
        return
    step = int(new.name.rpartition("-")[2])
    whole = [one for one in checkpoint_folders(new.parent) if has_manifest(one.path)]
    kept = {new.resolve(), *([Path(best).resolve()] if best else [])}
    # Checkpoints of later steps were written before the run went back to an earlier one.
    whole.sort(key=lambda one: (one.step <= step, one.step))
    removable = [one.path for one in whole if one.path.resolve() not in kept]
    _delete(removable[: max(len(whole) - max(limit, len(kept)), 0)])


def _delete(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_dir():
            deleted = folder if folder.name.startswith(DELETED) else folder.with_name(DELETED + folder.name)
            if deleted != folder:
                shutil.rmtree(deleted, ignore_errors=True)
                folder.rename(deleted)
            shutil.rmtree(deleted, ignore_errors=True)
