"""Log output of a command: messages of this package, and errors of other packages."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from rlhf_losses.processes.launchers import is_first_process

DEBUG = "RLHF_LOSSES_DEBUG"
"""Environment variable: if set, errors have a traceback and warnings of other packages are shown."""

LIBRARY_SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "critical",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Environment variables that other packages read when they are imported. Values of the user are kept."""


class FirstTime(logging.Filter):
    """Lets a note of a command pass once, for example the layout of a policy and its reference; warnings always."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is shown."""
        text = record.getMessage()
        is_new = text not in self._shown
        self._shown.add(text)
        return is_new or record.levelno > logging.INFO


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Show messages of this package on stderr, and hide warnings of others unless `RLHF_LOSSES_DEBUG` is set."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(FirstTime())
    logger = logging.getLogger("rlhf_losses")
    previous_level = logger.level
    if is_first_process():
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings(), _only_errors_of_others():
            if not os.environ.get(DEBUG):
                for name, value in LIBRARY_SETTINGS.items():
                    os.environ.setdefault(name, value)
                warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(previous_level)


@contextlib.contextmanager
def _only_errors_of_others() -> Iterator[None]:
    """Hide warnings of loggers without a handler, for example those of bitsandbytes about missing kernels."""
    fallback = logging.lastResort
    if fallback is None or os.environ.get(DEBUG):
        yield
        return
    previous_level = fallback.level
    fallback.setLevel(logging.ERROR)
    try:
        yield
    finally:
        fallback.setLevel(previous_level)
