"""Output folders that a run is writing to: a second run, started by mistake, would replace its checkpoints."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rlhf_losses.errors import OutputExistsError
from rlhf_losses.messages.setting_names import setting

if sys.platform != "win32":
    import fcntl

_CLAIMED: set[Path] = set()
"""Folders that runs of this process write to."""


@contextmanager
def claim(
    folder: str | Path, writes: bool = True, all_gather: Callable[[list[str]], Sequence[str]] = lambda texts: texts
) -> Iterator[None]:
    """While the context lasts, other runs on this machine cannot claim a folder.

    The lock is on the folder itself, so there is no file for it, and it ends with the process, also after a crash. On
    Windows and on file systems without locks, nothing is locked.

    Args:
        folder: an output folder, which is created.
        writes: whether this process of the run writes to it.
        all_gather: returns the texts of all processes of the run, so that all of them raise the error.

    Raises:
        OutputExistsError: another run has claimed it.
    """
    path = Path(folder).resolve()
    problem, lock = "", None
    outermost = writes and path not in _CLAIMED  # a process can have a run inside another one
    if outermost:
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock = _lock(path, exclusive=True)
        except OutputExistsError as error:
            problem = str(error)
    if problems := [*filter(None, all_gather([problem]))]:
        raise OutputExistsError(problems[0])
    try:
        _CLAIMED.update([path] if outermost else [])
        yield
    finally:
        _CLAIMED.difference_update([path] if outermost else [])
        if lock is not None:
            os.close(lock)


def require_unclaimed(folder: str | Path) -> None:
    """Raise `OutputExistsError` if another process has claimed a folder.

    Args:
        folder: an output folder; it need not exist.
    """
    path = Path(folder).resolve()
    if path.is_dir() and path not in _CLAIMED:
        lock = _lock(path, exclusive=False)
        if lock is not None:
            os.close(lock)


def _lock(path: Path, exclusive: bool) -> int | None:
    """Return the descriptor of a locked folder, or None where folders cannot be locked."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OutputExistsError(
            f"Another run is writing to '{path}' at this moment, and both would replace each other's checkpoints. Wait "
            f"for its end, or choose another folder: {setting('output_dir', f'{path}-2')}."
        ) from None
    except OSError:  # for example on NFS
        os.close(descriptor)
        return None
    return descriptor
