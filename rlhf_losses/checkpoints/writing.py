"""Errors while a checkpoint is written, and while a run reads its data: one message, and earlier checkpoints stay."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from rlhf_losses.checkpoints.lost_processes import explained_process_errors
from rlhf_losses.checkpoints.resuming import last_whole
from rlhf_losses.errors import RlhfLossesError, RunStoppedError
from rlhf_losses.messages.setting_names import setting

WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)
"""What Python, torch and safetensors raise on a full disk or in a folder that cannot be written."""

OS_ERROR = "(os error "
"""Part of the message of the plain `Exception` that tokenizers raises then."""


@contextmanager
def writing(folder: Path, removes: bool = False) -> Iterator[None]:
    """Convert errors of the `with` block, which writes a folder, to one message.

    Args:
        folder: the folder.
        removes: delete the folder after an error.

    Raises:
        RunStoppedError: the folder cannot be written.
        ProcessError: another process, which writes too, has ended.
    """
    try:
        with explained_process_errors():
            yield
    except Exception as error:
        if removes:
            shutil.rmtree(folder, ignore_errors=True)
        known = isinstance(error, WRITE_ERRORS) or OS_ERROR in str(error)
        if isinstance(error, RlhfLossesError) or not known:
            raise
        raise RunStoppedError(
            f"'{folder}' could not be written: {describe(error)}. {_kept(folder)} "
            "Free space on the disk or correct the permissions of the folder, then continue with "
            f"{setting('resume_from_checkpoint', 'last')}."
        ) from error


@contextmanager
def running(run: Path) -> Iterator[None]:
    """Convert errors of the file system in the `with` block, which trains, to one message.

    Args:
        run: output folder of the run.

    Raises:
        RunStoppedError: a file cannot be read or written.
        ProcessError: another process of the run has ended.
    """
    try:
        with explained_process_errors():
            yield
    except (RlhfLossesError, BrokenPipeError):  # a closed pipe ends a command quietly
        raise
    except OSError as error:
        raise RunStoppedError(
            f"The run stopped: {describe(error)}. {_kept(run)} Restore the file or the folder, then continue with "
            f"{setting('resume_from_checkpoint', 'last')}."
        ) from error


def describe(error: BaseException) -> str:
    """Return the last line of an error's message with its type.

    Args:
        error: an error.

    Examples:
        >>> describe(FileNotFoundError(2, "No such file or directory", "rows.jsonl"))
        "FileNotFoundError: No such file or directory: 'rows.jsonl'"
    """
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename!r}" if error.filename else ""
        return f"{type(error).__name__}: {error.strerror}{where}"
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[-1].strip().rstrip('.')}"


def _kept(folder: Path) -> str:
    """Return which checkpoint is kept, for the folder of a run or of a checkpoint."""
    checkpoint = last_whole(folder) or last_whole(folder.parent)
    return "No checkpoint was saved." if checkpoint is None else f"The newest whole checkpoint is '{checkpoint}'."
