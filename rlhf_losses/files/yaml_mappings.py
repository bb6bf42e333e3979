"""A YAML file of settings, checked before anything uses it."""

from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from rlhf_losses.checks.unicode_text import lone_surrogate
from rlhf_losses.errors import InvalidSettingError, first_line, shown

LARGEST = 1_000_000
"""Largest number of bytes; a larger file is no list of settings."""

LARGEST_NESTING = 1_000
"""Largest number of opening brackets."""


def read_yaml_mapping(text: str, name: str, example: str) -> dict[str, Any]:
    """Return the mapping that a YAML text contains.

    Args:
        text: the text.
        name: what messages call the file.
        example: a line of such a file, for messages.

    Raises:
        InvalidSettingError: the text is not YAML, a key occurs twice or is no text, a value is neither a
            number nor a text, or the content is no mapping.

    Examples:
        >>> read_yaml_mapping("seed: 1", "The file 'run.yaml'", "seed: 42")
        {'seed': 1}
    """
    if (brackets := text.count("[") + text.count("{")) > LARGEST_NESTING:  # the time of PyYAML is quadratic in them
        raise InvalidSettingError(
            f"{name} has {brackets:,} opening brackets, which is no list of arguments. Correct the file."
        )
    try:
        repeated = _repeated_key(yaml.compose(text, yaml.SafeLoader))
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidSettingError(f"{name} is not valid YAML: {yaml_problem(error)}. Correct the file.") from error
    if repeated is not None:
        raise InvalidSettingError(
            f"{name} has the key '{repeated}' twice, and only one of the values would be used. Remove one."
        )
    if not isinstance(content, dict):
        raise InvalidSettingError(
            f"{name} contains {shown(content)}, but it must contain a YAML mapping, one argument per line, such as "
            f"'{example}'. Correct the file."
        )
    for key, value in content.items():
        if not isinstance(key, str):
            raise InvalidSettingError(f"{name} has the key {shown(key)}, which is no name of an argument. Correct it.")
        if problem := _problem_of(value):
            raise InvalidSettingError(f"{name} has for {key} {problem}")
    return content


def yaml_problem(error: Exception) -> str:
    """Return what is wrong in a YAML document, with its line.

    Args:
        error: the error of the parser.
    """
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return f"{' '.join(str(error).split()):.300}"
    plain = problem.replace("'<document start>'", "the name of a setting and a colon").replace("but found", "found")
    return f"line {mark.line + 1}, column {mark.column + 1}: {plain}"


def read_settings_text(path: Path, kind: str) -> str:
    """Return the text of a file of settings.

    Args:
        path: the file.
        kind: what to give in its place, for messages.

    Raises:
        InvalidSettingError: there is no such file, it is too large, or not UTF-8.
    """
    if not path.is_file():
        problem = f"'{path}' is a folder" if path.is_dir() else f"There is no file '{path}'"
        raise InvalidSettingError(f"{problem}. Give {kind}.")
    if path.stat().st_size > LARGEST:
        raise InvalidSettingError(
            f"'{path}' has {path.stat().st_size:,} bytes, which is too large for a file of arguments. Give {kind}."
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSettingError(
            f"'{path}' is not text in UTF-8: {first_line(error)}. Save the file in UTF-8."
        ) from error


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
