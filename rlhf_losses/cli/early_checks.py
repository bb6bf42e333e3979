"""Checks of the datasets and models of a command line before large packages are imported."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.cli.config_file import read_config
from rlhf_losses.cli.model_paths import require_model_path
from rlhf_losses.files.locations import locate

DATASET_FLAGS = ("--dataset", "--dataset_name", "--eval_dataset", "--ptx_dataset", "--reference_samples")

MODEL_FLAGS = ("--model", "--model_name_or_path", "--reward_model", "--reward_model_name_or_path", "--critic")


def check_names(command: str, argv: Sequence[str]) -> None:
    """Check that datasets and models exist, and have a format that can be read, as far as no large package is needed.

    Args:
        command: name of the command.
        argv: words after it.

    Raises:
        CommandLineError: a path is not that of a model.
        UnreadableDatasetError: a dataset does not exist, or has an unknown format.
        InvalidFeedbackError: a dataset is an empty file.
    """
    for flag, value in _flag_values(argv):
        if flag in DATASET_FLAGS:
            locate(value)
        elif flag in MODEL_FLAGS and command != "inspect":  # whose --model can be a folder with a tokenizer alone
            require_model_path(value, flag)


def _flag_values(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield flags with their values, those of a `--config` file first."""
    pairs = []
    flag = ""
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for word in words:
        if word.startswith("--"):
            flag = f"--{word[2:].replace('-', '_')}"
        else:
            pairs.append((flag, word))
    given = {flag for flag, _ in pairs}
    for path in (value for flag, value in pairs if flag == "--config"):
        yield from ((flag, value) for flag, value in _config_values(path) if flag not in given)
    yield from pairs


def _config_values(path: str) -> Iterator[tuple[str, str]]:
    """Yield keys of a `--config` file as flags, with their values. The parser refuses an invalid file."""
    content: Mapping[str, Any] = {}
    with suppress(CommandLineError):
        content = read_config(path)
    for key, value in content.items():
        values = value if isinstance(value, list) else [value]
        yield from ((f"--{key}", one) for one in values if isinstance(one, str))
