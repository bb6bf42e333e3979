"""Common parts of training commands: checks of models and output folders, resuming, and Ctrl-C."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from transformers import AutoConfig, AutoTokenizer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.logging_setup import DEBUG
from rlhf_losses.cli.model_paths import nearest_folder, require_model_path
from rlhf_losses.errors import OutputExistsError, ProcessError, RlhfLossesError, first_line
from rlhf_losses.folder_claims import require_unclaimed
from rlhf_losses.setting_names import has_flag, setting

RESUME = "--resume_from_checkpoint"
RUN_FILES = ("config.json", "model.safetensors", "model.safetensors.index.json", "adapter_config.json")
"""Files of a finished run. An unfinished run has folders named checkpoint-*."""


def require_model(name: str, flag: str, **options: Any) -> None:
    """Raise `CommandLineError` unless a model and its tokenizer exist; the weights are not loaded.

    Args:
        name: folder or Hub id.
        flag: flag of the argument, for messages.
        options: arguments of `from_pretrained`.
    """
    path, options = Path(name), {"trust_remote_code": False} | options
    require_model_path(name, flag)
    try:
        if not (path / "adapter_config.json").is_file():
            AutoConfig.from_pretrained(name, **options)
        AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:  # a damaged file fails anywhere in transformers
        reason = first_line(error)
        problem = "cannot be loaded" if path.is_dir() else "is neither a local folder nor a model on the Hub"
        raise CommandLineError(
            f"'{name}' {problem}: {reason}.{nearest_folder(path)} Check the name after {flag}."
        ) from error


def checkpoint_to_resume(output_dir: str, resume: str | bool | None) -> str | None:
    """Return the checkpoint to resume from, or None for a new run.

    Args:
        output_dir: output folder of the run.
        resume: value of `--resume_from_checkpoint`: a checkpoint, true for the last one, or nothing.

    Raises:
        OutputExistsError: the folder contains a run that would be overwritten.
        CommandLineError: there is no such checkpoint, or the folder cannot be written.
    """
    require_writable(Path(output_dir))
    require_unclaimed(output_dir)
    if resume in (None, False) or str(resume).lower() in ("false", "no", ""):
        refuse_earlier_run(output_dir)
        return None
    if str(resume).lower() not in ("true", "yes", "last"):
        if not Path(str(resume), "trainer_state.json").is_file():
            raise CommandLineError(f"'{resume}' is not a checkpoint. Give a folder such as RUN/checkpoint-500.")
        return str(resume)
    last: str | None = get_last_checkpoint(output_dir) if Path(output_dir).is_dir() else None
    if last is None:
        raise CommandLineError(
            f"'{output_dir}' has no checkpoint to resume from. Remove {RESUME} to start a new run, or give the folder "
            "of the run with --output_dir."
        )
    return last


def require_writable(folder: Path) -> None:
    """Raise `CommandLineError` unless a folder has a name, exists or can be created, and can be written."""
    if not str(folder).strip() or folder.absolute() == Path(folder.absolute().anchor):
        raise CommandLineError(
            f"--output_dir is '{folder}', which is no folder for a run. Give a folder: --output_dir runs/reward-model."
        )
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        reason = "is a file" if existing.is_file() else "is not writable"
        raise CommandLineError(f"Cannot create the folder '{folder}': '{existing}' {reason}. Change --output_dir.")


def refuse_earlier_run(output_dir: str) -> None:
    """Raise `OutputExistsError` if a folder contains a model or a checkpoint."""
    folder = Path(output_dir)
    checkpoint = get_last_checkpoint(output_dir) if folder.is_dir() else None
    found = [Path(checkpoint).name] if checkpoint else [file for file in RUN_FILES if (folder / file).exists()]
    if found:
        can_resume = checkpoint is not None and has_flag("resume_from_checkpoint")
        resume = f"Resume it with {setting('resume_from_checkpoint')}, or use" if can_resume else "Use"
        raise OutputExistsError(
            f"'{output_dir}' contains an earlier run ({found[0]}), which would be overwritten. "
            f"{resume} another folder: --output_dir {folder.with_name(folder.name + '-2')}."
        )


@contextmanager
def starting() -> Iterator[None]:
    """Convert errors of TRL, PEFT and transformers about the settings of a run to `CommandLineError`."""
    try:
        yield
    except RlhfLossesError:
        raise
    except ValueError as error:
        raise CommandLineError(
            f"The run cannot start: {first_line(error)}. Change the argument; {DEBUG}=1 shows the traceback."
        ) from error


class Interruptible(TrainerCallback):
    """Callback and context manager: Ctrl-C stops after the current step with a checkpoint, a second Ctrl-C at once."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Self:
        """Handle Ctrl-C."""
        self.previous = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore the previous handler."""
        signal.signal(signal.SIGINT, self.previous)

    def _request(self, *_: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\nStopping after this step, with a checkpoint. Ctrl-C again stops at once.", file=sys.stderr)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save a checkpoint and stop, if requested in any process."""
        self.requested = _any_process(self.requested, args)
        if self.requested:
            control.should_save = control.should_training_stop = True


def train(trainer: Any, interruptible: Interruptible, checkpoint: str | None) -> None:
    """Train.

    Args:
        trainer: a trainer with `interruptible` among its callbacks.
        interruptible: handler of Ctrl-C.
        checkpoint: checkpoint to resume from.

    Raises:
        KeyboardInterrupt: the run was interrupted; the message states what was saved.
    """
    try:
        with interruptible, explained_process_errors():
            trainer.train(resume_from_checkpoint=checkpoint)
    except KeyboardInterrupt:
        interruptible.requested = True
    if interruptible.requested:
        raise KeyboardInterrupt(interrupted_message(trainer.args.output_dir, trainer.state.global_step))


LOST_PROCESS = ("closed by peer", "reset by peer", "Broken pipe", "Timed out", "timeout", "NCCL")
"""Parts of torch's errors about processes that have ended or do not answer."""


@contextmanager
def explained_process_errors() -> Iterator[None]:
    """Convert the error of torch about a process that has ended, or does not answer, to `ProcessError`."""
    try:
        yield
    except RuntimeError as error:
        reason = first_line(error)
        if isinstance(error, RlhfLossesError) or not any(text in reason for text in LOST_PROCESS):
            raise
        raise ProcessError(
            f"Another process of this run has ended or does not answer ({reason:.120}), so the run stops. Its own "
            f"message has the reason, or it was killed, for example for lack of memory. Resume with {RESUME}."
        ) from error


def format_steps(trainer: Any) -> str:
    """Return the number of steps of a trainer as text."""
    count = trainer.state.global_step
    return "1 step" if count == 1 else f"{count} steps"


def interrupted_message(output_dir: str, step: int) -> str:
    """Return the message after an interruption, with the last checkpoint."""
    saved = get_last_checkpoint(output_dir) if Path(output_dir).is_dir() else None
    if saved is None:
        return f"Stopped at step {step}. No checkpoint was saved."
    return f"Stopped at step {step}. Saved {saved}. To resume, add {RESUME} to the same command."


def _any_process(value: bool, args: TrainingArguments) -> bool:
    """Return whether a value is true in any process, so that all processes stop after the same step."""
    if args.world_size == 1:
        return value
    count = torch.tensor(float(value), device=args.device)
    torch.distributed.all_reduce(count)
    return bool(count)
