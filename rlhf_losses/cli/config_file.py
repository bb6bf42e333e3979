"""The `--config` file: a YAML mapping of arguments, checked before anything uses it."""

from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.errors import first_line, shown
from rlhf_losses.unicode_text import lone_surrogate

LARGEST = 1_000_000
"""Largest number of bytes; a larger file is no list of arguments."""

LARGEST_NESTING = 1_000
"""Largest number of opening brackets."""


def read_config(path: str) -> dict[str, Any]:
    """Return the arguments in a `--config` file.

    Args:
        path: the file.

    Raises:
        CommandLineError: there is no such file, it is too large, not UTF-8 or not YAML, a key occurs twice or is no
            text, a value is neither a number nor a text, or the content is no mapping.
    """
    text = _read_text(Path(path))
    if (brackets := text.count("[") + text.count("{")) > LARGEST_NESTING:  # the time of PyYAML is quadratic in them
        raise CommandLineError(
            f"The --config file '{path}' has {brackets:,} opening brackets, which is no list of arguments. Correct the "
            "file."
        )
    try:
        repeated = _repeated_key(yaml.compose(text, yaml.SafeLoader))
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CommandLineError(
            f"The --config file '{path}' is not valid YAML: {' '.join(str(error).split()):.300}. Correct the file."
        ) from error
    if repeated is not None:
        raise CommandLineError(
            f"The --config file '{path}' has the key '{repeated}' twice, and only one of the values would be used. "
            "Remove one."
        )
    if not isinstance(content, dict):
        raise CommandLineError(
            f"The --config file '{path}' contains {shown(content)}, but it must contain a YAML "
            "mapping, one argument per line, such as 'learning_rate: 1e-5'. Correct the file."
        )
    for key, value in content.items():
        _require_argument(path, key, value)
    return content


def _require_argument(path: str, key: Any, value: Any) -> None:
    if not isinstance(key, str):
        raise CommandLineError(
            f"The --config file '{path}' has the key {shown(key)}, which is no name of an argument. Correct it."
        )
    if problem := _problem_of(value):
        raise CommandLineError(f"The --config file '{path}' has for {key} {problem}")


def _problem_of(root: Any) -> str | None:
    """Return why a value of a YAML document, or a value in it, is no value of an argument."""
    values, visited = [root], set()
    while values:
        value = values.pop()
        if id(value) in visited:
            continue
        visited.add(id(value))
        if isinstance(value, list | dict):
            values += [*value, *value.values()] if isinstance(value, dict) else value
        elif isinstance(value, str):
            if lone_surrogate(value) or "\0" in value:
                return f"{value!a:.80}, which is not a text in valid Unicode without zero bytes. Correct it."
        elif not isinstance(value, bool | int | float | NoneType):
            return (
                f"{shown(value)}, of the type {type(value).__name__}, but values are numbers, texts, true, false, "
                "null, lists and mappings. Write a text in quotes."
            )
    return None


def _read_text(file: Path) -> str:
    if not file.is_file():
        raise CommandLineError(f"There is no file '{file}'. Give a YAML file: --config run.yaml.")
    if file.stat().st_size > LARGEST:
        raise CommandLineError(
            f"'{file}' has {file.stat().st_size:,} bytes, which is too large for a file of arguments. Give a YAML "
            "file: --config run.yaml."
        )
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CommandLineError(
            f"'{file}' is not text in UTF-8: {first_line(error)}. Save the file in UTF-8."
        ) from error


def _repeated_key(root: Any) -> str | None:
    """Return a key that occurs twice in a mapping of a YAML document, or None."""
    nodes, visited = [root], set()
    while nodes:
        node = nodes.pop()
        if id(node) in visited or not isinstance(node, yaml.CollectionNode):
            continue
        visited.add(id(node))
        if isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
            if len(set(names)) < len(names):
                return next(str(name) for name in names if names.count(name) > 1)
            nodes += [value for _, value in node.value]
        else:
            nodes += node.value
    return None
