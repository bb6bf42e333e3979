"""Parsing of command lines. An invalid argument is one message, without a page of usage."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from rlhf_losses.errors import RlhfLossesError, did_you_mean

OLD_FLAGS = {
    "--adapter": "--converter",
    "--critic_on_policy": "--shared_critic",
    "--frozen_cache_gib": "--hidden_state_cache_gib",
    "--kl_stop": "--early_stop_kl",
    "--numbers_learning_rate": "--loss_parameters_learning_rate",
    "--self_check": "--sanity_check",
    "--time_shares": "--log_phase_times",
    "--tokens_per_pass": "--max_tokens_per_forward",
}
"""Flags of earlier versions and their new names."""

OLD_VALUES = {"--reward_at": {"end": "completion", "steps": "step", "step_shares": "step_mean"}}
"""Values of earlier versions and their new names, by flag."""

OTHER_FLAGS = {
    "batch_size": ("per_device_train_batch_size",),
    "device": ("use_cpu",),
    "early_stopping": ("load_best_model_at_end",),
    "epochs": ("num_train_epochs",),
    "eval_batch_size": ("per_device_eval_batch_size",),
    "file": ("dataset", "input"),
    "grad_accum": ("gradient_accumulation_steps",),
    "lora": ("use_peft",),
    "lora_rank": ("lora_r",),
    "lr": ("learning_rate",),
    "max_len": ("max_length",),
    "max_tokens": ("max_completion_length", "max_length"),
    "model_path": ("model",),
    "num_epochs": ("num_train_epochs",),
    "output": ("output_dir",),
    "out": ("output", "output_dir"),
    "policy": ("model",),
    "rm": ("reward_model",),
    "steps": ("max_steps",),
    "train_batch_size": ("per_device_train_batch_size",),
    "train_dataset": ("dataset",),
    "train_file": ("dataset",),
    "warmup": ("warmup_steps",),
}
"""Names of flags of other programs, and flags of the same meaning here; a command may have none of them."""

SIMILARITY = 0.75
"""Smallest similarity of an unknown flag and the one that a message suggests."""

MISSING = "the following arguments are required: "
"""Beginning of the message of argparse about missing arguments."""


class CommandLineError(RlhfLossesError, ValueError):
    """An argument of the command line cannot be used."""


class ArgumentParser(argparse.ArgumentParser):
    """A parser that raises `CommandLineError` where argparse prints its usage and exits."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        super().__init__(*args, **options)
        self.add_argument(
            "--plugin",
            metavar="FILE",
            default=argparse.SUPPRESS,  # `plugin_files` reads it before the command is known
            help="Python file with losses, converters, score transforms or score estimates; repeatable",
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the words, except a flag with the value `--`, which argparse reads as an empty list."""
        for word in args or ():
            flag, equals, value = str(word).partition("=")
            if flag.startswith("-") and equals and value == "--":
                self.error(f"{flag} has the value '--', which is none. Write a value, as in {flag} VALUE")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise `CommandLineError`."""
        if message.startswith(MISSING):
            names = [min(names.split("/"), key=len) for names in message.removeprefix(MISSING).split(", ")]
            message = describe_missing(names)
        raise CommandLineError(f"{message.rstrip('.')}. Run '{self.prog} --help' to see all arguments.")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the parsed arguments.

        Args:
            argv: words after the name of the command.

        Raises:
            CommandLineError: an argument is unknown, missing or invalid.
        """
        known: argparse.Namespace
        known, unknown = self.parse_known_args(argv)
        self.refuse_unknown(unknown)
        return known

    def refuse_unknown(self, words: Sequence[str], source: str = "") -> None:
        """Raise `CommandLineError` for the first unknown argument, if there is one.

        Args:
            words: the words of the command line that were not parsed.
            source: where they were found, for the message.
        """
        if not words:
            return
        word = next((word for word in words if word.startswith("--")), words[0])
        if not word.startswith("-"):
            raise CommandLineError(
                f"Unexpected argument '{word}'{source}. Put quotes around values with spaces. "
                f"Run '{self.prog} --help' to see all arguments."
            )
        word = word.split("=")[0]
        flag = f"--{word.lstrip('-').replace('-', '_')}"
        refuse_old_flag(flag, source)
        same = next((f" Use '--{one}'." for one in OTHER_FLAGS.get(flag[2:], ()) if f"--{one}" in self.flags()), None)
        nearest = same or did_you_mean(flag, self.flags(), SIMILARITY)
        raise CommandLineError(
            f"Unknown argument '{word}'{source}.{nearest} Run '{self.prog} --help' to see all arguments."
        )

    def flags(self) -> list[str]:
        """Return all flags, in the spelling with underscores."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        return [flag for flag in flags if flag.startswith("--") and "-" not in flag[2:]]


def describe_missing(flags: Sequence[str]) -> str:
    """Return a sentence about missing arguments.

    Args:
        flags: their flags, at least one.

    Examples:
        >>> describe_missing(["--model", "--dataset"])
        '--model and --dataset are missing, but this command needs them'
    """
    *others, last = flags
    verb, pronoun = ("are", "them") if others else ("is", "it")
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"{listed} {verb} missing, but this command needs {pronoun}"


def refuse_old_flag(flag: str, source: str = "") -> None:
    """Raise `CommandLineError` if a flag has a new name.

    Args:
        flag: the flag, with underscores. A boolean flag can begin with `--no_`.
        source: where it was found, for the message.
    """
    prefix = "--no_" if flag.startswith("--no_") else "--"
    new = OLD_FLAGS.get(f"--{flag.removeprefix(prefix)}")
    if new is not None:
        raise CommandLineError(f"Argument '{flag}'{source} has been renamed. Use '{prefix}{new.removeprefix('--')}'.")


def refuse_old_value(flag: str, value: object, source: str = "") -> None:
    """Raise `CommandLineError` if a value of an argument has a new name.

    Args:
        flag: the flag, with underscores.
        value: its value.
        source: where it was found, for the message.
    """
    new = OLD_VALUES.get(flag, {}).get(str(value))
    if new is not None:
        raise CommandLineError(f"The value '{value}' of {flag}{source} has been renamed. Use {flag} {new}.")


def plugin_files(argv: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """Separate `--plugin FILE`, which is allowed at any place and repeatedly, from the other arguments.

    Args:
        argv: the command line.

    Returns:
        The plugin files, and the other words.

    Examples:
        >>> plugin_files(["list", "--plugin", "focal.py", "--json"])
        (('focal.py',), ['list', '--json'])
    """
    parser = ArgumentParser(prog="rlhf-losses", add_help=False, conflict_handler="resolve")
    parser.add_argument("--plugin", action="append", default=[])
    found, rest = parser.parse_known_args(list(argv))
    return tuple(found.plugin), rest
