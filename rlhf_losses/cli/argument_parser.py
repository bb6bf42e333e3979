"""Parsing of command lines. An invalid argument is one message, without a page of usage."""

import argparse
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from rlhf_losses.errors import RlhfLossesError, did_you_mean

logger = logging.getLogger(__name__)

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
    "epoch": ("num_train_epochs",),
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
    "max_new_tokens": ("max_completion_length",),
    "reward": ("reward_model",),
    "rm": ("reward_model",),
    "slice": ("by",),
    "slice_by": ("by",),
    "split_by": ("by",),
    "steps": ("max_steps",),
    "train_batch_size": ("per_device_train_batch_size",),
    "train_dataset": ("dataset",),
    "train_file": ("dataset",),
    "warmup": ("warmup_steps",),
}
"""Names of flags of other programs, and flags of the same meaning here; a command may have none of them."""

SIMILARITY = 0.75
"""Smallest similarity of an unknown flag and the one that a message suggests."""


class CommandLineError(RlhfLossesError, ValueError):
    """An argument of the command line cannot be used."""


class ArgumentParser(argparse.ArgumentParser):
    """A parser that raises one `CommandLineError` with all problems, where argparse prints its usage and exits.

    Attributes:
        problems: sentences about arguments that were refused before the words are parsed, such as those of a file.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.problems: list[str] = []
        super().__init__(*args, **{"allow_abbrev": False, "exit_on_error": False} | options)
        self.add_argument(
            "--plugin",
            metavar="FILE",
            default=argparse.SUPPRESS,  # `plugin_files` reads it before the command is known
            help="Python file with losses, converters, score transforms or score estimates; repeatable",
        )

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the parsed arguments.

        Args:
            argv: words after the name of the command.

        Raises:
            CommandLineError: arguments are unknown, missing or invalid.
        """
        known: argparse.Namespace
        known, _ = self.parse_known_args(argv)
        return known

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the words, and raise `CommandLineError` with all that are unknown, invalid or missing.

        TRL's parser calls this method too, so that no word is left for it.
        """
        words = [str(word) for word in args or ()]
        require_written_values(words)
        required = [action for action in self._actions if action.required]
        for action in required:
            action.required = False  # so that unknown words are found too
        try:
            known, unknown, invalid = self._parse_valid(words, namespace)
        finally:
            for action in required:
                action.required = True
        self._warn_about_repeated(words)
        missing = [action for action in required if action not in invalid and getattr(known, action.dest, 1) is None]
        self.refuse([*self.problems, *self.describe_unknown(unknown), *invalid.values(), *describe_missing(missing)])
        return known, []

    def _warn_about_repeated(self, words: Sequence[str]) -> None:
        """Warn of arguments with one value that are given several times: as usual, the last value counts."""
        flags = [word.partition("=")[0] for word in words if word.startswith("-")]
        for action in self._actions:
            count = sum(flag in action.option_strings for flag in flags)
            if count > 1 and not is_repeatable(action):
                sums = " Losses are added in one value: 'a + b'." if action.dest == "loss" else ""
                logger.warning("%s is given %d times; the last value counts.%s", shortest_name(action), count, sums)

    def _parse_valid(
        self, words: Sequence[str], namespace: Any
    ) -> tuple[argparse.Namespace, list[str], dict[argparse.Action, str]]:
        """Return the arguments with valid values, the unknown words, and a sentence about each invalid argument."""
        invalid: dict[argparse.Action, str] = {}
        while True:
            try:
                known, unknown = super().parse_known_args(words, namespace)
            except argparse.ArgumentError as error:
                action = next((one for one in self._actions if name_of(one) == error.argument_name), None)
                if action is None or action in invalid:
                    self.error(str(error))
                invalid[action] = f"Argument {shortest_name(action)}: {error.message.rstrip('.')}."
                if not action.option_strings:
                    return argparse.Namespace(), [], invalid
                words = without(action, words)
                action.default = None  # which can be the invalid value, from a file
            else:
                return known, unknown, invalid

    def error(self, message: str) -> NoReturn:
        """Raise `CommandLineError`."""
        raise CommandLineError(f"{message.rstrip('.')}. {self._help()}")

    def refuse(self, problems: Sequence[str]) -> None:
        """Raise `CommandLineError` if there are problems; several are lines of the message.

        Args:
            problems: sentences about arguments.
        """
        if problems:
            raise CommandLineError(("\n" if len(problems) > 1 else " ").join([*problems, self._help()]))

    def _help(self) -> str:
        return f"Run '{self.prog} --help' to see all arguments."

    def describe_unknown(self, words: Sequence[str], source: str = "") -> list[str]:
        """Return a sentence about each unknown argument.

        Args:
            words: the words of the command line that were not parsed. Those after an unknown flag can be its values.
            source: where they were found, for the message.
        """
        first = next((index for index, word in enumerate(words) if is_flag(word)), len(words))
        unexpected = [
            f"Unexpected argument '{word}'{source}. Put quotes around values with spaces." for word in words[:first]
        ]
        names = dict.fromkeys(word.split("=")[0] for word in words[first:] if is_flag(word))
        return [*unexpected, *(self._describe_unknown_flag(name, source) for name in names)]

    def _describe_unknown_flag(self, word: str, source: str) -> str:
        flag = f"--{word.lstrip('-').replace('-', '_')}"
        prefix = "--no_" if flag.startswith("--no_") else "--"
        new = OLD_FLAGS.get(f"--{flag.removeprefix(prefix)}")
        if new is not None:
            return f"Argument '{flag}'{source} has been renamed. Use '{prefix}{new.removeprefix('--')}'."
        same = next((f" Use '--{one}'." for one in OTHER_FLAGS.get(flag[2:], ()) if f"--{one}" in self.flags()), None)
        return f"Unknown argument '{word}'{source}.{same or did_you_mean(flag, self.flags(), SIMILARITY)}"

    def flags(self) -> list[str]:
        """Return all flags, in the spelling with underscores."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        return [flag for flag in flags if flag.startswith("--") and "-" not in flag[2:]]


def name_of(action: argparse.Action) -> str:
    """Return an argument as errors of argparse name it: all of its flags, or its word in the usage."""
    return "/".join(action.option_strings) or (action.metavar if isinstance(action.metavar, str) else action.dest)


def is_repeatable(action: argparse.Action) -> bool:
    """Return whether all values of an argument count: those that are appended to a list, and files of plugins."""
    return isinstance(action.default, list) or action.dest == "plugin"


def shortest_name(action: argparse.Action) -> str:
    """Return an argument as messages name it."""
    return min(action.option_strings, key=len, default=name_of(action))


def without(action: argparse.Action, words: Iterable[str]) -> list[str]:
    """Return words without a flag and its values.

    Args:
        action: the flag.
        words: the words of a command line.

    Examples:
        >>> action = argparse.ArgumentParser().add_argument("--seed")
        >>> without(action, ["--seed", "one", "FILE", "--seed=two", "--json"])
        ['FILE', '--json']
    """
    count = float("inf") if action.nargs in ("+", "*") else action.nargs if isinstance(action.nargs, int) else 1
    kept, values = [], 0.0
    for word in words:
        flag, equals, _ = word.partition("=")
        if flag in action.option_strings:
            values = 0 if equals else count
        elif values and not word.startswith("--"):
            values -= 1
        else:
            values = 0
            kept.append(word)
    return kept


def is_flag(word: str) -> bool:
    """Return whether a word begins with a hyphen and is no number.

    Examples:
        >>> is_flag("--seed=1"), is_flag("-1e-3"), is_flag("pairs.csv")
        (True, False, False)
    """
    try:
        float(word)
    except ValueError:
        return word.startswith("-")
    return False


def require_written_values(words: Iterable[str]) -> None:
    """Raise `CommandLineError` for a flag with the value `--`, which argparse reads as an empty list."""
    for word in words:
        flag, equals, value = word.partition("=")
        if flag.startswith("-") and equals and value == "--":
            raise CommandLineError(f"{flag} has the value '--', which is none. Write a value, as in {flag} VALUE.")


def describe_missing(actions: Sequence[argparse.Action]) -> list[str]:
    """Return a sentence about missing arguments, if there are any."""
    return [f"{missing_arguments(list(map(shortest_name, actions)))}."] if actions else []


def missing_arguments(flags: Sequence[str]) -> str:
    """Return a sentence about missing arguments, without the full stop.

    Args:
        flags: their flags, at least one.

    Examples:
        >>> missing_arguments(["--model", "--dataset"])
        '--model and --dataset are missing, but this command needs them'
    """
    *others, last = flags
    verb, pronoun = ("are", "them") if others else ("is", "it")
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"{listed} {verb} missing, but this command needs {pronoun}"


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
    words = list(argv)
    require_written_values(words)
    parser = argparse.ArgumentParser(prog="rlhf-losses", add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--plugin", action="append", default=[])
    try:
        found, rest = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise CommandLineError(f"{error}. Write it as --plugin FILE.") from error
    return tuple(found.plugin), rest
