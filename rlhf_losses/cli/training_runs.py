"""Common parts of training commands: checks of models and output folders, resuming, and signals."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from rlhf_losses.checkpoints.manifest import is_unfinished
from rlhf_losses.checkpoints.resuming import (
    AUTO,
    NEW_RUN,
    NEWEST,
    Resume,
    decided_by_main_process,
    last_whole,
    resolve_checkpoint,
)
from rlhf_losses.checkpoints.rotation import checkpoint_folders
from rlhf_losses.checkpoints.stopping import StopControl
from rlhf_losses.checkpoints.uploads import is_hub_error
from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.logging_setup import DEBUG
from rlhf_losses.cli.model_paths import nearest_folder, require_model_path
from rlhf_losses.cli.signals import Interruption, StopSignals
from rlhf_losses.errors import OutputExistsError, RlhfLossesError, first_line
from rlhf_losses.messages.printed_commands import printed_command
from rlhf_losses.messages.setting_names import has_flag, setting
from rlhf_losses.processes.folder_claims import require_unclaimed
from rlhf_losses.report.report_file import REPORT_FILE

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
        resume: value of `--resume_from_checkpoint`: a checkpoint; true or last for the newest whole one; auto for that
            or, without one, a new run; or nothing.

    Raises:
        OutputExistsError: the folder contains a run that would be overwritten.
        DamagedCheckpointError: there is no such checkpoint, or it is damaged.
        CommandLineError: the folder cannot be written.
    """
    require_writable(Path(output_dir))
    require_unclaimed(output_dir)
    checkpoint = resolve_checkpoint(resume, Path(output_dir))
    if checkpoint is None and str(resume).lower() != AUTO:
        decided_by_main_process(partial(refuse_earlier_run, output_dir))
    return checkpoint


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
    whole, others = last_whole(folder), [one.path for one in checkpoint_folders(folder)]
    checkpoint = whole or next(iter(others), None)
    found = [checkpoint.name] if checkpoint else [file for file in RUN_FILES if (folder / file).exists()]
    if not found:
        return
    resume = "Use"
    if checkpoint and has_flag("resume_from_checkpoint"):
        value = "" if whole else AUTO if is_unfinished(checkpoint) else str(checkpoint)
        resume = f"Resume it with {setting('resume_from_checkpoint', value or None)}, or use"
    raise OutputExistsError(
        f"'{output_dir}' contains an earlier run ({found[0]}), which would be overwritten. "
        f"{resume} another folder: --output_dir {folder.with_name(folder.name + '-2')}."
    )


@contextmanager
def starting() -> Iterator[None]:
    """Convert errors of TRL, PEFT, transformers and the Hub about the settings of a run to `CommandLineError`."""
    try:
        yield
    except RlhfLossesError:
        raise
    except Exception as error:
        if is_hub_error(error):
            raise CommandLineError(
                f"The repository on the Hub cannot be created: {first_line(error)}. Check the token, the connection "
                "and --hub_model_id, or remove --push_to_hub."
            ) from error
        if not isinstance(error, ValueError):
            raise
        raise CommandLineError(
            f"The run cannot start: {first_line(error)}. Change the argument; {DEBUG}=1 shows the traceback."
        ) from error


@dataclass(frozen=True)
class StopMessage:
    """What is printed after an interruption: the newest whole checkpoint, and how to continue.

    Attributes:
        resume: the value of `--resume_from_checkpoint` in the command.
        report: whether to name the command that writes the report of the run so far. It is not written at once, because
            that can take longer than a process may that has received a signal.
    """

    resume: Resume = None
    report: bool = False

    def about(self, trainer: Any) -> str:
        """Return the message about a run.

        Args:
            trainer: its trainer.
        """
        output_dir, step = trainer.args.output_dir, trainer.state.global_step
        saved = last_whole(output_dir)
        if saved is None:
            return f"Stopped at step {step}. No checkpoint was saved."
        kept = "Saved" if saved.name == f"checkpoint-{step}" else "The newest whole checkpoint is"
        return f"Stopped at step {step}. {kept} {saved}. To resume, {self._how_to_resume()}.{self._report(trainer)}"

    def _how_to_resume(self) -> str:
        word = str(self.resume or "").lower()
        if word in (*NEWEST, AUTO):
            return "run the same command again"
        if word in NEW_RUN:
            return f"add {RESUME} to the same command"
        return f"run the same command with {RESUME} last"

    def _report(self, trainer: Any) -> str:
        if not self.report or not trainer.state.log_history:
            return ""
        folder = trainer.args.output_dir
        command = printed_command("report", folder, "--output", Path(folder) / REPORT_FILE)
        return f" `{command}` writes the report of the run so far."


@contextmanager
def explained_interruption(trainer: Any, message: StopMessage) -> Iterator[None]:
    """Name the newest whole checkpoint in the message of an `Interruption`.

    Args:
        trainer: the trainer that the `with` block uses.
        message: the message.
    """
    try:
        yield
    except Interruption as interruption:
        raise Interruption(message.about(trainer), interruption.signal_number, interruption.at_once) from None


def close_progress_bars(trainer: Any) -> None:
    """End the lines of progress bars, so that a message after them has a line of its own.

    Args:
        trainer: a trainer that was interrupted.
    """
    for callback in trainer.callback_handler.callbacks:
        for bar in (getattr(callback, name, None) for name in ("prediction_bar", "training_bar")):
            if bar is not None:
                bar.close()


def train(trainer: Any, signals: StopSignals, checkpoint: str | None, message: StopMessage) -> bool:
    """Train, and return whether the run is complete; a time limit ends it before.

    Args:
        trainer: the trainer.
        signals: handler of Ctrl-C and SIGTERM.
        checkpoint: checkpoint to resume from.
        message: what is printed if a time limit ends the run.

    Raises:
        Interruption: a signal stopped the run.
    """
    control: StopControl = trainer.stop_control
    signals.request = control.request
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except BaseException:
        close_progress_bars(trainer)
        raise
    finally:
        signals.request = None
    if signal := signals.received or control.signal:  # this process or another one has received it
        raise Interruption("", signal)
    if control.stopped:
        reason = f"The time limit of {trainer.args.stop_after} is reached. "
        trainer.accelerator.print(reason + message.about(trainer))
        trainer.end()
    return not control.stopped


def format_steps(trainer: Any) -> str:
    """Return the number of steps of a trainer as text."""
    count = trainer.state.global_step
    return "1 step" if count == 1 else f"{count} steps"
