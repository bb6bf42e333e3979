"""How messages write a setting: as an argument in Python, and as a flag while a command that has this flag runs."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_FLAGS: ContextVar[frozenset[str]] = ContextVar("flags of the running command", default=frozenset())


@contextmanager
def command_flags(flags: Iterable[str]) -> Iterator[None]:
    """While the context lasts, messages write settings as flags of a command.

    Args:
        flags: all flags of the command, with two hyphens and underscores.
    """
    token = _FLAGS.set(frozenset(flags))
    try:
        yield
    finally:
        _FLAGS.reset(token)


def has_flag(name: str) -> bool:
    """Return whether a command is running that has the flag of a setting."""
    return f"--{name}" in _FLAGS.get()


def setting(name: str, value: Any = None, python: str | None = None) -> str:
    """Return a setting as a message writes it.

    Args:
        name: name of the setting.
        value: a value for it; None writes the name alone.
        python: how Python writes it, if not as `name=value`.

    Examples:
        >>> setting("overlong", "drop"), setting("max_length")
        ("overlong='drop'", 'max_length')
        >>> with command_flags(["--overlong"]):
        ...     setting("overlong", "drop"), setting("max_length", 512)
        ('--overlong drop', 'max_length=512')
    """
    if has_flag(name):
        return f"--{name}" if value is None else f"--{name} {value}"
    if python is not None:
        return python
    return name if value is None else f"{name}={value!r}"
