"""Help of training commands, which have hundreds of arguments: the most used ones first, all others on request."""

import argparse
import copy
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_losses.messages.documentation import documentation

PROCESSES = f"see\n{documentation('how-to/many-processes.md')}"
"""Where the start of several processes is described."""

MOST_USED = "most used arguments"
OWN = "arguments of rlhf-losses"
UPSTREAM = "arguments of TRL and transformers"

METAVARS = {
    **dict.fromkeys(("model_name_or_path", "reward_model_name_or_path", "critic"), "MODEL"),
    **dict.fromkeys(("dataset_name", "eval_dataset", "ptx_dataset", "reference_samples"), "DATASET"),
    **{"loss": "LOSS", "output_dir": "DIR", "converter": "NAME", "report_to": "NAME"},
    "resume_from_checkpoint": "CHECKPOINT",
}
"""Words for the values of arguments in the help."""

HELP = {
    "output_dir": "Folder of the model and its checkpoints.",
    "max_length": "Largest number of tokens of a text; the setting overlong says what becomes of longer ones.",
    "num_train_epochs": "Number of passes over the data.",
    "max_steps": "Number of optimizer steps, in place of --num_train_epochs; a stream needs it. -1 is not set.",
    "per_device_train_batch_size": "Number of rows of a batch, on each device.",
    "gradient_accumulation_steps": "Number of batches in an optimizer step, on each device.",
    "lora_r": "Rank of the LoRA adapters.",
    "bf16": "Compute in bfloat16, by default on accelerators that have it.",
    "eval_strategy": "When to evaluate during training.",
    "save_steps": "Number of steps between checkpoints, or below 1 their share of the run.",
    "logging_steps": "Number of steps between logs, or below 1 their share of the run.",
    "report_to": "Programs that receive the logs, such as tensorboard; none, or all that are installed.",
    "seed": "Seed of initial weights and order of rows.",
}
"""Help of arguments of TRL and transformers, in the words of this documentation."""

METAVARS_OF_TYPES = {"int": "INTEGER", "float": "NUMBER", "string_to_bool": "BOOL"}
"""Words for the values of all other arguments, by name of the type; of other types, it is TEXT."""


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults after the help of arguments, and a description with its lines, so that addresses in it stay whole."""


@dataclass(frozen=True)
class ArgumentGroups:
    """Arguments of a training command by group.

    Attributes:
        most_used: names of the most used arguments, in order.
        own: names of the arguments that this package adds to those of TRL.
    """

    most_used: Sequence[str] = ()
    own: Sequence[str] = ()

    @classmethod
    def of(cls, dataclasses: Iterable[type], most_used: Sequence[str]) -> "ArgumentGroups":
        """Return the groups of the fields of dataclasses.

        Args:
            dataclasses: dataclasses of this package and of TRL.
            most_used: names of the most used arguments.
        """
        bases = [base for one in dataclasses for base in one.__mro__ if base.__module__.startswith("rlhf_losses.")]
        own = [name for base in bases for name in inspect.get_annotations(base) if name not in most_used]
        return cls(most_used, list(dict.fromkeys(own)))

    def split(self, actions: Sequence[argparse.Action]) -> dict[str, list[argparse.Action]]:
        """Return the arguments of each group; `--help` and `--plugin` belong to the first."""
        by_name: dict[str, list[argparse.Action]] = {}
        for action in actions:
            by_name.setdefault(action.dest, []).append(action)
        general = [action for action in actions if action.default is argparse.SUPPRESS]
        most_used = [action for name in self.most_used for action in by_name.get(name, [])]
        own = [action for name in self.own for action in by_name.get(name, [])]
        listed = [*most_used, *general, *own]
        return {
            MOST_USED: [*most_used, *general],
            OWN: own,
            UPSTREAM: [action for action in actions if action not in listed],
        }


class HelpAll(argparse.Action):
    """`--help-all`: print the help of all arguments and exit."""

    def __init__(self, *args: Any, text: Callable[[], str], **options: Any) -> None:
        super().__init__(*args, **{**options, "nargs": 0, "default": argparse.SUPPRESS})
        self.text = text

    def __call__(self, *_: Any, **__: Any) -> None:
        """Print and exit."""
        sys.stdout.write(self.text())
        sys.exit(0)


def format_groups(parser: argparse.ArgumentParser, groups: dict[str, list[argparse.Action]], epilog: str) -> str:
    """Return the help of the arguments of some groups.

    Args:
        parser: the parser.
        groups: arguments by title.
        epilog: text at the end.
    """
    formatter = functools.partial(HelpFormatter, max_help_position=32)(parser.prog)
    formatter.add_usage(parser.usage, [action for actions in groups.values() for action in actions], [])
    formatter.add_text(parser.description)
    for title, actions in groups.items():
        formatter.start_section(title)
        formatter.add_arguments([_with_short_name(action) for action in actions])
        formatter.end_section()
    formatter.add_text(epilog)
    return formatter.format_help()


def type_name(action: argparse.Action) -> str:
    """Return the name of the function that parses the value of an argument, for example `int` or `string_to_bool`."""
    return str(getattr(action.type, "__name__", ""))


def _with_short_name(action: argparse.Action) -> argparse.Action:
    """Return a copy of an argument with its shortest name only, and without a default that is empty."""
    copied = copy.copy(action)
    names = [name for name in action.option_strings if name.startswith("--") and "-" not in name[2:]]
    copied.option_strings = [min(names or action.option_strings, key=len)]
    if action.nargs == 0 and action.const is False:  # --no_…
        copied.help, copied.default = f"opposite of --{action.dest}", argparse.SUPPRESS
    if action.default is False or not str(action.default or "").strip():
        copied.default = argparse.SUPPRESS
    if action.nargs != 0 and action.choices is None and action.metavar is None:
        copied.metavar = METAVARS.get(action.dest) or METAVARS_OF_TYPES.get(type_name(action), "TEXT")
    return copied
