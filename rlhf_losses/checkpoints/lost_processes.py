"""Errors of torch about another process of the run that has ended or does not answer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import distributed

from rlhf_losses.errors import ProcessError, RlhfLossesError, first_line
from rlhf_losses.messages.setting_names import setting

LOST_PROCESS = ("gloo", "closed by peer", "reset by peer", "broken pipe", "timed out", "timeout")
"""Parts of gloo's messages, in lower case; gloo raises a plain `RuntimeError`."""


@contextmanager
def explained_process_errors() -> Iterator[None]:
    """Convert the error of torch about a process that has ended, or does not answer, to one message.

    Raises:
        ProcessError: there is such an error.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, RlhfLossesError) or not is_about_lost_process(error, _connected()):
            raise
        raise ProcessError(
            f"Another process of this run has ended or does not answer ({_reason(error)}), so the run stops. "
            "Its own message has the reason, or it was killed, for example for lack of memory. Continue with "
            f"{setting('resume_from_checkpoint', 'last')}."
        ) from error


def is_about_lost_process(error: RuntimeError, connected: bool) -> bool:
    """Return whether an error is about a process that has ended or does not answer.

    Args:
        error: the error.
        connected: whether this process is one of several.

    Examples:
        >>> closed = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4501")
        >>> is_about_lost_process(closed, connected=True)
        True
        >>> is_about_lost_process(RuntimeError("the reward server timed out"), connected=False)
        False
    """
    message = str(error).lower()
    return isinstance(error, distributed.DistError) or (connected and any(text in message for text in LOST_PROCESS))


def _reason(error: RuntimeError) -> str:
    """Return the first sentence of an error, without the place in gloo's source.

    Examples:
        >>> _reason(RuntimeError("[gloo/pair.cc:553] Connection closed by peer [10.0.0.1]:23975. This means that"))
        'Connection closed by peer [10.0.0.1]:23975'
    """
    return re.sub(r"^\[[^\]]*\] *", "", first_line(error)).split(". ")[0][:120]


def _connected() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
