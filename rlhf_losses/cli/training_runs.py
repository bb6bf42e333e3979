"""What training commands have in common: a model that is there, an output folder, and a Ctrl-C that saves."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from huggingface_hub import upload_folder
from transformers import AutoConfig, AutoTokenizer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.logging_setup import DEBUG
from rlhf_losses.errors import OutputExistsError, RlhfLossesError, did_you_mean

RESUME = "--resume_from_checkpoint"
TRACES = ("config.json", "model.safetensors", "model.safetensors.index.json", "adapter_config.json")
"""Files in an output folder that tell of an earlier run, beside folders called checkpoint-*."""


def require(value: str | None, flag: str, example: str) -> str:
    """Return an argument that has no default, or raise `CommandLineError`."""
    if not value:
        raise CommandLineError(
            f"{flag} is missing, so there is nothing to start from. Write for example {flag} {example}."
        )
    return value


def require_model(name: str, flag: str, **options: Any) -> None:
    """Raise `CommandLineError` unless there is a model with a tokenizer of that name, in a folder or on the hub."""
    path = Path(name)
    if path.is_dir():
        require_model_files(path, flag)
    elif path.is_file():
        raise CommandLineError(
            f"'{name}' is a file, but a model is a folder that holds config.json, or a name of the hub. "
            f"Give one of these after {flag}; files with rows come after --dataset."
        )
    elif name.startswith((".", "/", "~")):
        raise CommandLineError(
            f"There is no folder '{name}' to take a model from.{beside(path)} Check the path after {flag}."
        )
    try:
        if not (path / "adapter_config.json").is_file():
            AutoConfig.from_pretrained(name, **options)
        AutoTokenizer.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".: ")
        arrived = (
            "cannot be loaded" if path.is_dir() else "is no folder here, and as a model of the hub it cannot be had"
        )
        raise CommandLineError(f"'{name}' {arrived}: {reason}.{beside(path)} Check the name after {flag}.") from error


def require_model_files(folder: Path, flag: str) -> None:
    """Raise `CommandLineError` unless a folder holds a model."""
    if not any((folder / file).is_file() for file in ("config.json", "adapter_config.json")):
        last = get_last_checkpoint(str(folder))
        hint = f"Take its last checkpoint: {flag} {last}." if last else "Give the folder that holds config.json."
        raise CommandLineError(f"The folder '{folder}' holds no model. {hint}")


def beside(path: Path) -> str:
    """Suggest a folder with a name like that of one which is not there."""
    if path.is_dir() or not path.parent.is_dir():
        return ""
    return did_you_mean(str(path), [str(other) for other in path.parent.iterdir() if other.is_dir()])


def checkpoint_to_resume(output_dir: str, wish: str | bool | None) -> str | None:
    """Return the checkpoint to go on from, or None for a fresh folder.

    Raises:
        OutputExistsError: the folder holds a run, and no wish to go on with it came.
    """
    require_writable(Path(output_dir))
    if wish in (None, False) or str(wish).lower() in ("false", "no", ""):
        refuse_earlier_run(output_dir)
        return None
    if str(wish).lower() not in ("true", "yes", "last"):
        if not Path(str(wish), "trainer_state.json").is_file():
            raise CommandLineError(
                f"'{wish}' holds no checkpoint to go on from. Give a folder like RUN/checkpoint-500."
            )
        return str(wish)
    last = get_last_checkpoint(output_dir) if Path(output_dir).is_dir() else None
    if last is None:
        raise CommandLineError(
            f"'{output_dir}' holds no checkpoint to go on from. Leave {RESUME} out to start anew, or name the folder "
            "of the run with --output_dir."
        )
    return last


def require_writable(folder: Path) -> None:
    """Raise `CommandLineError` unless the folder is there or can be made."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        why = "is a file" if existing.is_file() else "cannot be written to"
        raise CommandLineError(
            f"'{folder}' cannot be made into a folder: '{existing}' {why}. Choose another --output_dir."
        )


def refuse_earlier_run(output_dir: str) -> None:
    """Raise `OutputExistsError` if the folder holds a model or a checkpoint."""
    folder = Path(output_dir)
    checkpoint = get_last_checkpoint(output_dir) if folder.is_dir() else None
    traces = [Path(checkpoint).name] if checkpoint else [file for file in TRACES if (folder / file).exists()]
    if traces:
        go_on = f"Go on with it: {RESUME}. Or choose" if checkpoint else "Choose"
        raise OutputExistsError(
            f"'{output_dir}' already holds a run ({traces[0]}), which another run would overwrite. "
            f"{go_on} another folder: --output_dir {folder.with_name(folder.name + '-2')}."
        )


def push(trainer: Any, folder: Path) -> None:
    """Upload a saved_merged model in place of the adapters that were pushed while training."""
    if trainer.accelerator.is_main_process:
        upload_folder(
            repo_id=trainer.hub_model_id,
            folder_path=folder,
            token=trainer.args.hub_token,
            ignore_patterns=["checkpoint-*", "_*"],
            delete_patterns=["adapter_*"],
        )


@contextmanager
def starting() -> Iterator[None]:
    """While the context lasts, turn what TRL, PEFT or transformers refuse about a run into one message."""
    try:
        yield
    except RlhfLossesError:
        raise
    except ValueError as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise CommandLineError(
            f"The run cannot start: {reason}. Change the argument that it names; {DEBUG}=1 shows where it was refused."
        ) from error


class Interruptible(TrainerCallback):
    """While the context lasts, Ctrl-C ends the step, saves a checkpoint and stops; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.signal(signal.SIGINT, self.before)

    def _ask(self, *_: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nStopping after this step, with a checkpoint. Ctrl-C again stops at once.", file=sys.stderr)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.asked = anywhere(self.asked, args)
        if self.asked:
            control.should_save = control.should_training_stop = True


def anywhere(asked: bool, args: TrainingArguments) -> bool:
    """Tell whether any process was asked, so that all of them stop after the same step."""
    if args.world_size == 1:
        return asked
    count = torch.tensor(float(asked), device=args.device)
    torch.distributed.all_reduce(count)
    return bool(count)


def train(trainer: Any, stop: Interruptible, checkpoint: str | None) -> None:
    """Train, and turn a Ctrl-C into a message that says what was saved."""
    try:
        with stop:
            trainer.train(resume_from_checkpoint=checkpoint)
    except KeyboardInterrupt:
        stop.asked = True
    if stop.asked:
        raise KeyboardInterrupt(farewell(trainer.args.output_dir, trainer.state.global_step))


def steps_of(trainer: Any) -> str:
    """Say how many steps a trainer has done."""
    count = trainer.state.global_step
    return "1 step" if count == 1 else f"{count} steps"


def farewell(output_dir: str, step: int) -> str:
    """Say where an interrupted run can go on."""
    saved = get_last_checkpoint(output_dir) if Path(output_dir).is_dir() else None
    if saved is None:
        return f"Stopped at step {step}; nothing was saved."
    return f"Stopped at step {step}; saved {saved}. To go on, add {RESUME} to the same command."
