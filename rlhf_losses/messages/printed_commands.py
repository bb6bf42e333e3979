"""Commands on model cards and in messages, as they are typed: with quotes, and with the plugin files in use."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_PLUGINS: ContextVar[tuple[str, ...]] = ContextVar("plugin files of the running command", default=())


@contextmanager
def plugins_in_use(files: Sequence[str]) -> Iterator[None]:
    """While the context lasts, printed commands load plugin files.

    Args:
        files: values of `--plugin`.
    """
    token = _PLUGINS.set(tuple(files))
    try:
        yield
    finally:
        _PLUGINS.reset(token)


def printed_command(*words: object) -> str:
    """Return a command line of this package.

    Args:
        words: the command and its arguments.

    Examples:
        >>> with plugins_in_use(["support.py"]):
        ...     printed_command("evaluate", "--model", "my model")
        "rlhf-losses --plugin support.py evaluate --model 'my model'"
    """
    return shlex.join(["rlhf-losses", *plugin_words(), *map(str, words)])


def plugin_words() -> list[str]:
    """Return the words of a command line that load the plugin files in use."""
    return [word for file in _PLUGINS.get() for word in ("--plugin", file)]
