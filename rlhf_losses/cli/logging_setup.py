"""What a user hears while a command runs: this package's own messages, and only the errors of the libraries below."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

DEBUG = "RLHF_LOSSES_DEBUG"
"""Environment variable: when set, errors come with their traceback and libraries may warn."""

SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "critical",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Read by the libraries as they are imported. A value that the user has set stays."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Show this package's messages on stderr; silence the warnings of others unless `RLHF_LOSSES_DEBUG` is set."""
    messages = logging.StreamHandler(sys.stderr)
    ours = logging.getLogger("rlhf_losses")
    before = ours.level
    if os.environ.get("RANK", "0") == "0":  # of several processes, one speaks
        ours.addHandler(messages)
    ours.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings(), only_errors_of_others():
            if not os.environ.get(DEBUG):
                for name, value in SETTINGS.items():
                    os.environ.setdefault(name, value)
                warnings.simplefilter("ignore")
            yield
    finally:
        ours.removeHandler(messages)
        ours.setLevel(before)


@contextlib.contextmanager
def only_errors_of_others() -> Iterator[None]:
    """Silence the warnings of loggers that have no handler, like bitsandbytes' about kernels that nobody asked for."""
    fallback = logging.lastResort
    if fallback is None or os.environ.get(DEBUG):
        yield
        return
    before = fallback.level
    fallback.setLevel(logging.ERROR)
    try:
        yield
    finally:
        fallback.setLevel(before)
