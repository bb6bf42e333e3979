"""The `--config` file: a YAML mapping of arguments, checked before anything uses it."""

from pathlib import Path
from typing import Any

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.files.yaml_mappings import read_settings_text, read_yaml_mapping


def read_config(path: str) -> dict[str, Any]:
    """Return the arguments in a `--config` file.

    Args:
        path: the file.

    Raises:
        CommandLineError: there is no such file, it is too large, not UTF-8 or not YAML, a key occurs twice or is no
            text, a value is neither a number nor a text, or the content is no mapping.
    """
    try:
        text = read_settings_text(Path(path), "a YAML file: --config run.yaml")
        return read_yaml_mapping(text, f"The --config file '{path}'", "learning_rate: 1e-5")
    except InvalidSettingError as error:
        raise CommandLineError(str(error)) from error
