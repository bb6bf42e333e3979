"""Arguments of training commands: those of TRL's scripts and a few more, also in the `--config` file."""

import argparse
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, get_type_hints

import trl
import yaml
from transformers import AttentionInterface
from transformers.utils import is_bitsandbytes_available, is_torch_bf16_gpu_available

from rlhf_losses.checks.setting_types import require_finite_settings
from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError, missing_arguments, refuse_old_value
from rlhf_losses.cli.config_file import read_config
from rlhf_losses.cli.config_values import CONFIG_FILE, checked_choice, members, typed_value
from rlhf_losses.cli.training_help import HELP, UPSTREAM, ArgumentGroups, HelpAll, format_groups, type_name
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS
from rlhf_losses.errors import RlhfLossesError, did_you_mean, shown
from rlhf_losses.files.columns import parse_columns, written_columns
from rlhf_losses.files.yaml_mappings import yaml_problem
from rlhf_losses.messages.printed_commands import printed_command

MINIMUM = {
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 0,
    "dataloader_num_workers": 0,
    "seed": 0,
    "data_seed": 0,
}
"""Smallest valid values of arguments that TRL and transformers check late or not at all."""

MAXIMUM = {"seed": 2**32 - 1, "data_seed": 2**32 - 1}
"""Largest valid values of such arguments."""


@dataclass
class DataArguments(trl.ScriptArguments):
    """TRL's dataset arguments, and a separate evaluation dataset."""

    dataset_name: str | None = field(
        default=None,
        metadata={
            "help": "Hub id, folder, file (JSON Lines, JSON, CSV, TSV, Excel, Parquet, Arrow; also compressed), URL or "
            "quoted pattern. A single file is the `train` split.",
            "aliases": ["--dataset"],
        },
    )
    eval_dataset: str | None = field(
        default=None,
        metadata={
            "help": "Evaluation dataset, in place of `--dataset_test_split`. With `--eval_strategy no` it is evaluated "
            "once, after training."
        },
    )
    columns: str | None = field(
        default=None,
        metadata={
            "help": "Rename columns: NEW=OLD with commas in between, e.g. chosen=text_chosen,rejected=text_rejected, "
            "or a mapping in the --config file. completion=response.text reads the objects of a column. Columns of the "
            "evaluation dataset that have the new names already are kept."
        },
    )


@dataclass
class RewardDataArguments(DataArguments):
    """Dataset arguments of reward models, with the converter of the dataset format."""

    converter: str | None = field(
        default=None,
        metadata={
            "help": "Dataset converter, e.g. hh_rlhf. By default it is detected from the columns. `native` converts "
            "nothing."
        },
    )


@dataclass
class ModelArguments(trl.ModelConfig):
    """TRL's model arguments. LoRA is the default; `--no_use_peft` disables it."""

    model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "Hub id or local folder of the initial model.", "aliases": ["--model"]},
    )
    use_peft: bool = field(
        default=True, metadata={"help": "Whether to train a LoRA adapter instead of all parameters."}
    )

    lora_target_modules: list[str] | None = field(
        default=None,
        metadata={"help": "Modules that get LoRA adapters: names, one pattern of whole paths, or `all-linear`."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # TRL makes a text of a list of one module, and PEFT takes a text for a pattern of whole paths.
        modules: object = self.lora_target_modules
        if isinstance(modules, str) and modules != "all-linear" and re.fullmatch(r"[\w.]+", modules):
            self.lora_target_modules = [modules]


@dataclass
class RewardModelArguments(ModelArguments):
    """Model arguments of reward models, whose LoRA adapter is that of a sequence classifier."""

    lora_task_type: str = field(default="SEQ_CLS", metadata={"help": "Task type of the LoRA adapter."})


@dataclass(frozen=True)
class Required:
    """An argument without a default on the command line.

    Attributes:
        name: name of the field.
        flag: its short flag.
        example: a value for messages.
        alternative: name of a field that replaces it.
    """

    name: str
    flag: str
    example: str
    alternative: str = ""


class TrainingParser(ArgumentParser, trl.TrlParser):
    """TRL's parser with errors of one message, short flags in the `--config` file and no ignored arguments.

    Args:
        dataclasses: dataclasses whose fields are the arguments.
        prog: command, for messages.
        usage: usage line of `--help`.
        description: text of `--help`.
        most_used: names of the arguments that `--help` shows first.
        required: arguments that have no default on the command line.
        presets: defaults by the name of a preset, which is the argument `preset`.
    """

    def __init__(
        self,
        dataclasses: Sequence[type],
        prog: str,
        usage: str | None = None,
        description: str = "",
        most_used: Sequence[str] = (),
        required: Sequence[Required] = (),
        presets: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(dataclasses, prog=prog, usage=usage, description=description)
        self.groups = ArgumentGroups.of(dataclasses, most_used)
        self.required = required
        self.presets = presets or {}
        self.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="YAML file with arguments")
        self.add_argument(
            "--help-all", action=HelpAll, text=self.format_all_help, help="show all arguments, also those of TRL"
        )
        self._adapt_arguments()

    def format_help(self) -> str:
        """Return the help of the most used arguments and of those that this package adds."""
        groups = self.groups.split(self._actions)
        others = len({action.dest for action in groups.pop(UPSTREAM)})
        return format_groups(self, groups, f"Run '{self.prog} --help-all' to see the {others} arguments of TRL too.")

    def format_all_help(self) -> str:
        """Return the help of all arguments."""
        return format_groups(self, self.groups.split(self._actions), "")

    def read(self, argv: Sequence[str]) -> tuple[Any, ...]:
        """Return one object per dataclass. The command line takes precedence over the `--config` file.

        Args:
            argv: words after the name of the command.

        Raises:
            CommandLineError: an argument or the file is invalid.
        """
        self.problems.clear()
        argv = _separate_config(argv)
        words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
        for flag, value in pairwise(words):
            refuse_old_value(flag, value)
            if flag.lstrip("-") == "preset":
                self.set_defaults(**self.presets.get(value, {}))
        try:
            parsed = self.parse_args_and_config(argv)
        except RlhfLossesError:
            raise
        except (ValueError, TypeError, ImportError, OverflowError) as error:
            self.error(str(error))
        except yaml.YAMLError as error:
            raise CommandLineError(
                f"The --config file is not valid YAML: {yaml_problem(error)}. Correct the file."
            ) from error
        require_given(parsed, self.required)
        self.refuse([*out_of_range(parsed), *no_mappings(parsed)])
        for one in parsed:
            require_finite_settings(one)
        return tuple(parsed)

    def read_file(self, path: str) -> tuple[Any, ...]:
        """Return one object per dataclass for the arguments in a `--config` file.

        Args:
            path: the file.

        Raises:
            CommandLineError: an argument or the file is invalid.
        """
        return self.read(["--config", path])

    def set_defaults_with_config(self, **values: Any) -> list[str]:
        """Use the values of the `--config` file as defaults. TRL calls this method.

        Args:
            values: content of the file. Keys can be short flags, for example `model`.
        """
        actions = {
            flag.lstrip("-").replace("-", "_"): action
            for action in self._actions
            for flag in action.option_strings
            if not flag.startswith(("--no_", "--no-")) and action.default is not argparse.SUPPRESS
        }
        self.problems += self.describe_unknown([f"--{name}" for name in values if name not in actions], CONFIG_FILE)
        checked = {}
        for name, value in values.items():
            if name in actions:
                try:
                    checked[name] = self._checked(name, value, actions[name])
                except CommandLineError as error:  # raised with the problems of the command line
                    self.problems.append(str(error))
        self.set_defaults(**self.presets.get(str(checked.get("preset")), {}))
        unused: list[str] = super().set_defaults_with_config(
            **{actions[name].dest: value for name, value in checked.items()}
        )
        return unused

    def _checked(self, name: str, value: Any, action: argparse.Action) -> Any:
        """Return the value of a setting in the `--config` file, or raise `CommandLineError`."""
        allowed = self._types(action.dest)
        if value is None:
            self._require_optional(name, action.dest, allowed)
        elif action.choices is None and not (value is True and action.const is not None):  # a flag without a value
            value = typed_value(name, value, allowed)
        return checked_choice(name, value, action.choices)

    def _class_with(self, setting: str) -> Any:
        return next((one for one in self.dataclass_types if setting in one.__dataclass_fields__), None)

    def _types(self, setting: str) -> set[Any]:
        """Return the types of a setting; `NoneType` is one of them if it can be null."""
        cls = self._class_with(setting)
        return set() if cls is None else members(get_type_hints(cls)[setting])

    def _require_optional(self, name: str, setting: str, types: set[Any]) -> None:
        """Raise `CommandLineError` for null in place of a number, a text or a truth value."""
        cls = self._class_with(setting)
        if cls is None or cls.__dataclass_fields__[setting].default is None:
            return
        if types <= {bool, int, float, str}:
            raise CommandLineError(
                f"The --config file has {name}: null, but this setting has no value for none. Write a value, or remove "
                "the line."
            )

    def _adapt_arguments(self) -> None:
        """Allow arguments without a value and lists, as users of TRL write them, and set or remove some defaults."""
        for action in self._actions:
            action.help = HELP.get(action.dest, action.help)
            if action.dest == "resume_from_checkpoint":
                action.nargs, action.const = "?", "true"
                action.help = (
                    "Continue from a checkpoint; without a value, from the newest whole one in --output_dir; with "
                    "auto, from that one, or anew if there is none."
                )
            elif action.dest == "report_to":
                action.nargs = "+"
            elif type_name(action) == "string_to_bool" and action.nargs is None:  # a setting that can also be None
                action.nargs, action.const = "?", True
            if action.type is str and action.nargs is None and any(action.dest == one.name for one in self.required):
                action.default = ""
        # TRL hides the progress bar if the log level of the libraries is high, as it is during a command.
        self.set_defaults(disable_tqdm=False)
        if not is_torch_bf16_gpu_available():
            # TRL's default is bf16, which fails without such a GPU.
            self.set_defaults(bf16=False)


def require_given(parsed: Iterable[Any], required: Sequence[Required]) -> None:
    """Raise `CommandLineError` that names all required arguments without a value.

    Args:
        parsed: the parsed dataclasses.
        required: the required arguments.
    """
    values = {name: value for one in parsed for name, value in vars(one).items()}
    missing = [one for one in required if not (values.get(one.name) or values.get(one.alternative))]
    if not missing:
        return
    examples = " ".join(f"{one.flag} {one.example}" for one in missing)
    raise CommandLineError(
        f"{missing_arguments([one.flag for one in missing])}. Add for example {examples}{_inspect(values, missing)}."
    )


def _inspect(values: Mapping[str, Any], missing: Sequence[Required]) -> str:
    """Return how to find a loss, if it is missing."""
    if not any(one.name == "loss" for one in missing):
        return ""
    command = printed_command("inspect", "--dataset", values.get("dataset_name") or "FILE", *data_flags(values))
    return f"; '{command}' lists the losses that fit the data"


def data_flags(values: Mapping[str, Any]) -> list[str]:
    """Return the flags with which other commands read the same columns.

    Args:
        values: arguments of the command by name.

    Examples:
        >>> data_flags({"columns": {"prompt": "question"}, "converter": None})
        ['--columns', 'prompt=question']
    """
    columns = written_columns(parse_columns(values.get("columns")))
    given = {"--columns": columns, "--converter": values.get("converter")}
    return [word for flag, value in given.items() if value for word in (flag, value)]


def prompt_flags(values: Mapping[str, Any], found: Collection[str] = ()) -> list[str]:
    """Return the flags with which another command reads prompts as this command does.

    A column `prompt` is all that it needs, so that a file without answers and feedback can be read too.

    Args:
        values: arguments of the command by name.
        found: columns of its data after renaming.

    Examples:
        >>> prompt_flags({"columns": "prompt=question,chosen=good,rejected=bad", "converter": None})
        ['--columns', 'prompt=question']
    """
    columns, converter = parse_columns(values.get("columns")), values.get("converter")
    if converter is None and "prompt" in {*columns, *found}:
        columns = {new: old for new, old in columns.items() if new in ("prompt", *TEMPLATE_COLUMNS)}
    return data_flags({"columns": columns, "converter": converter})


def out_of_range(parsed: Iterable[Any]) -> Iterator[str]:
    """Yield a sentence about each number that fails only after the model is loaded.

    Args:
        parsed: the objects with the arguments.
    """
    for name, minimum in MINIMUM.items():
        value = next((getattr(one, name) for one in parsed if hasattr(one, name)), minimum)
        if value is not None and not value >= minimum:
            yield f"{name} is {value}, but it must be at least {minimum}. Change --{name}."
        if value is not None and value > MAXIMUM.get(name, math.inf):
            yield f"{name} is {value}, but it must be at most {MAXIMUM[name]}. Change --{name}."


def no_mappings(parsed: Iterable[Any]) -> Iterator[str]:
    """Yield a sentence about each argument of functions that is no mapping, because a text is not a JSON object.

    Args:
        parsed: the objects with the arguments.
    """
    for name, value in ((name, value) for one in parsed for name, value in vars(one).items()):
        if name.endswith("_kwargs") and value is not None and not isinstance(value, Mapping):
            yield (
                f"--{name} is {shown(value)}, but it must be a JSON object, or a mapping in the --config file. "
                f"""Write for example --{name} '{{"NAME": "VALUE"}}'."""
            )


def quantization_of(model: trl.ModelConfig) -> Any:
    """Return the quantization config, or None.

    Args:
        model: model arguments.

    Raises:
        CommandLineError: bitsandbytes is needed and not installed.
    """
    if (model.load_in_4bit or model.load_in_8bit) and not is_bitsandbytes_available():
        raise CommandLineError(
            "--load_in_4bit and --load_in_8bit need bitsandbytes, which is not installed. "
            "Run 'pip install bitsandbytes', or remove the argument."
        )
    return trl.get_quantization_config(model)


def require_attention(name: str | None) -> None:
    """Raise `CommandLineError` for an unknown attention implementation.

    Args:
        name: value of `--attn_implementation`; a name with a slash is a kernel on the Hub.
    """
    known = sorted({"eager", *AttentionInterface().valid_keys()})
    if name is None or "/" in name or name in known:
        return
    raise CommandLineError(
        f"Unknown attention implementation '{name}'.{did_you_mean(name, known)} "
        f"Choose one of: {', '.join(known)} (--attn_implementation)."
    )


def model_options(model: trl.ModelConfig, config: Any) -> dict[str, Any]:
    """Return the arguments of `from_pretrained`; `--model_init_kwargs` takes precedence.

    Args:
        model: model arguments.
        config: training arguments.
    """
    return {
        "revision": model.model_revision,
        "trust_remote_code": config.trust_remote_code,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        **(config.model_init_kwargs or {}),
    }


def _separate_config(argv: Sequence[str]) -> list[str]:
    """Return the words with `--config=FILE` as two words, as TRL expects, and check that the file exists."""
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--config=") else [word])]
    if "--config" in words:
        index = words.index("--config") + 1
        if index == len(words):
            raise CommandLineError("--config has no file. Give a YAML file: --config run.yaml.")
        read_config(words[index])
    return words
