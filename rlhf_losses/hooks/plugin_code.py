"""Execution of the code of plugins: the message of every error names the plugin, also if the code exits or hangs."""

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from rlhf_losses.errors import PluginError

PATIENCE = 10.0
"""Seconds after which a message names the plugin whose code is still running."""


@contextmanager
def plugin_code(what: str, failure: str, remedy: str) -> Iterator[None]:
    """Run code of a plugin.

    Code that runs for longer than `PATIENCE` is not stopped, because an import can be slow; a line on stderr names it,
    and so does the message after Ctrl-C.

    Args:
        what: the code as the beginning of a sentence, for example `"The import of plugin file 'focal.py'"`.
        failure: the same with its verb, for example `"The import of plugin file 'focal.py' fails"`.
        remedy: a sentence about how to continue.

    Raises:
        PluginError: the code raises an error or exits.
        KeyboardInterrupt: Ctrl-C, or the code raises it; the message names the plugin.
    """
    timer = threading.Timer(PATIENCE, _report, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{what} was interrupted. {remedy}") from None
    except SystemExit as error:
        raise PluginError(f"{what} ends the program (exit code {error.code}). {remedy}") from error
    except Exception as error:
        raise PluginError(f"{failure}: {type(error).__name__}: {error}{_place(error)}. {remedy}") from error
    finally:
        timer.cancel()


def _place(error: Exception) -> str:
    """Return the last statement of a module that led to an error, or an empty text for an error in no module."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    statements = [(code.co_filename, line) for code, line in frames if code.co_name == "<module>"]
    return f" ({PurePath(statements[-1][0]).name}, line {statements[-1][1]})" if statements else ""


def _report(what: str) -> None:
    print(f"{what} has run for {PATIENCE:g} seconds and is not done. Ctrl-C stops it.", file=sys.stderr, flush=True)
