"""The arguments of TRL's scripts, with the few that we add: on the command line and in the file of `--config`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trl
import yaml
from transformers import AttentionInterface
from transformers.utils import is_bitsandbytes_available, is_torch_bf16_gpu_available

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.errors import RlhfLossesError, did_you_mean

LEAST = {
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 0,
}
"""The least that a number may be, where it would be refused late."""


@dataclass
class DataArguments(trl.ScriptArguments):
    """TRL's arguments for the data, and a file of its own for the evaluation."""

    dataset_name: str | None = field(
        default=None,
        metadata={
            "help": "Hub id, local folder, or file in JSON Lines, JSON, Parquet or CSV. A single file is the split "
            "`train`.",
            "aliases": ["--dataset"],
        },
    )
    eval_dataset: str | None = field(
        default=None,
        metadata={
            "help": "Rows to evaluate on, in place of `--dataset_test_split`. With `--eval_strategy no` they are used "
            "once, after the training."
        },
    )


@dataclass
class RewardDataArguments(DataArguments):
    """The same for feedback, which may come in the layout of a well-known dataset."""

    converter: str | None = field(
        default=None,
        metadata={"help": "Layout of the data, like hh_rlhf; by default it is recognised. `native` reads rows as is."},
    )


@dataclass
class ModelArguments(trl.ModelConfig):
    """TRL's arguments for the model; LoRA is used unless `--no_use_peft` is given."""

    model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "Hub id or local folder of the model to start from.", "aliases": ["--model"]},
    )
    use_peft: bool = field(default=True, metadata={"help": "Whether to train a LoRA adapter instead of every weight."})


@dataclass
class RewardModelArguments(ModelArguments):
    """The same for a reward model, whose LoRA adapter is that of a sequence classifier."""

    lora_task_type: str = field(default="SEQ_CLS", metadata={"help": "Task type of the LoRA adapter."})


class TrainingParser(ArgumentParser, trl.TrlParser):
    """TRL's parser, which refuses what nothing reads and tells every problem in one message."""

    def __init__(self, kinds: Sequence[type], prog: str, usage: str | None = None, description: str = "") -> None:
        super().__init__(kinds, prog=prog, usage=usage, description=description)

    def read(self, argv: Sequence[str]) -> tuple[Any, ...]:
        """Return one object a dataclass, from the command line over the file of `--config`."""
        argv = self.with_config_apart(argv)
        self.convert_dataset()
        try:
            *found, left = self.parse_args_and_config(argv, return_remaining_strings=True)
        except RlhfLossesError:
            raise
        except (ValueError, TypeError, ImportError) as error:
            self.error(str(error))
        except yaml.YAMLError as error:
            raise CommandLineError(f"The file of --config is not YAML: {error}") from error
        self.refuse(left)
        require_least(found)
        return tuple(found)

    def convert_dataset(self) -> None:
        """Let `--resume_from_checkpoint` stand alone, and set the two defaults that depend on the machine."""
        for action in self._actions:
            if action.dest == "resume_from_checkpoint":
                action.nargs, action.const = "?", "true"
        # TRL hides the progress bar where libraries are quiet, and `quiet` makes them so.
        self.set_defaults(disable_tqdm=False)
        if not is_torch_bf16_gpu_available():
            # TRL's own default would be refused on such a machine.
            self.set_defaults(bf16=False)

    def with_config_apart(self, argv: Sequence[str]) -> list[str]:
        """Write `--config=FILE` as two words, which TRL looks for, and check that the file is there."""
        words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--config=") else [word])]
        if "--config" in words:
            at = words.index("--config") + 1
            if at == len(words):
                raise CommandLineError("--config came without a file. Write --config run.yaml.")
            if not Path(words[at]).is_file():
                raise CommandLineError(f"There is no file '{words[at]}'. Give a YAML file: --config run.yaml.")
        return words

    def set_defaults_with_config(self, **values: Any) -> list[str]:
        """Take the values of the file as defaults; the short names of arguments are understood here too."""
        targets = {
            flag.lstrip("-").replace("-", "_"): action
            for action in self._actions
            for flag in action.option_strings
            if not flag.startswith(("--no_", "--no-"))
        }
        self.refuse([f"--{name}" for name in values if name not in targets], where=" (in the file of --config)")
        chosen = {name: self.chosen(name, value, targets[name].choices) for name, value in values.items()}
        return super().set_defaults_with_config(**{targets[name].dest: value for name, value in chosen.items()})

    def chosen(self, name: str, value: Any, choices: Iterable[Any] | None) -> Any:
        """Return a value of the file, or raise `CommandLineError` if it is none of the choices."""
        if choices is None or value is None or value in choices:
            return value
        if value is False and "no" in choices:  # YAML takes an unquoted no for false
            return "no"
        known = ", ".join(map(str, choices))
        raise CommandLineError(f"The file of --config sets {name} to {value!r}. Take one of {known}.")


def require_least(found: Iterable[Any]) -> None:
    """Raise `CommandLineError` for a number that torch would refuse once everything is loaded."""
    for name, least in LEAST.items():
        value = next((getattr(one, name) for one in found if hasattr(one, name)), least)
        if value < least:
            raise CommandLineError(
                f"{name}={value} arrived, with which nothing can be trained. Write --{name} {least} or more."
            )


def quantization_of(model: trl.ModelConfig) -> Any:
    """Return how to quantize the model, or None; what that needs must be installed."""
    if (model.load_in_4bit or model.load_in_8bit) and not is_bitsandbytes_available():
        raise CommandLineError(
            "--load_in_4bit and --load_in_8bit need bitsandbytes, which is not installed. "
            "Type: pip install bitsandbytes. Or leave the argument out."
        )
    return trl.get_quantization_config(model)


def require_attention(name: str | None) -> None:
    """Raise `CommandLineError` for an attention that transformers would not find; a name with a slash is of the hub."""
    known = sorted({"eager", *AttentionInterface().valid_keys()})
    if name is None or "/" in name or name in known:
        return
    raise CommandLineError(
        f"There is no attention '{name}', so the model cannot be loaded with it.{did_you_mean(name, known)} "
        f"After --attn_implementation write one of {', '.join(known)}."
    )


def model_options(model: trl.ModelConfig, config: Any) -> dict[str, Any]:
    """Return how to load the model; `--model_init_kwargs` has the last word."""
    return {
        "revision": model.model_revision,
        "trust_remote_code": config.trust_remote_code,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        **(config.model_init_kwargs or {}),
    }
