"""The `--config` file: a YAML mapping of arguments, checked before anything uses it."""

from pathlib import Path
from typing import Any

import yaml

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.errors import first_line, shown

LARGEST = 1_000_000
"""Largest number of bytes; a larger file is no list of arguments."""


class _UniqueKeysLoader(yaml.SafeLoader):
    """A loader that refuses a key that occurs twice, of which YAML would use the last without a message."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping.

        Raises:
            ConstructorError: a key occurs twice.
        """
        scalars = [(key.value, key.start_mark) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        seen: set[str] = set()
        for name, mark in scalars:
            if name in seen and name != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"the key '{name}' occurs twice", mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_config(path: str) -> dict[str, Any]:
    """Return the arguments in a `--config` file.

    Args:
        path: the file.

    Raises:
        CommandLineError: there is no such file, it is too large, not UTF-8 or not YAML, a key occurs twice or is no
            text, or the content is no mapping.
    """
    file = Path(path)
    if not file.is_file():
        raise CommandLineError(f"There is no file '{path}'. Give a YAML file: --config run.yaml.")
    if file.stat().st_size > LARGEST:
        raise CommandLineError(
            f"'{path}' has {file.stat().st_size:,} bytes, which is too large for a file of arguments. Give "
            "a YAML file: --config run.yaml."
        )
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _UniqueKeysLoader)  # a safe loader
    except UnicodeDecodeError as error:
        raise CommandLineError(
            f"'{path}' is not text in UTF-8: {first_line(error)}. Save the file in UTF-8."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CommandLineError(
            f"The --config file '{path}' is not valid YAML: {' '.join(str(error).split()):.300}. Correct the file."
        ) from error
    if not isinstance(content, dict):
        raise CommandLineError(
            f"The --config file '{path}' contains {shown(content)}, but it must contain one argument per line, such as "
            "'learning_rate: 1e-5'. Correct the file."
        )
    for key in content:
        if not isinstance(key, str):
            raise CommandLineError(
                f"The --config file '{path}' has the key {shown(key)}, which is no name of an argument. Correct it."
            )
    return content
