"""Errors of the Hub: at the end of a run they are one message, and during a run one line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlhf_losses.errors import RunStoppedError, first_line

logger = logging.getLogger(__name__)

HUB_MODULES = ("huggingface_hub", "httpx", "httpcore", "requests")
"""Beginnings of the names of modules that define errors of the Hub."""


def is_hub_error(error: BaseException) -> bool:
    """Return whether an error is an answer of the Hub, or says that it cannot be reached.

    Args:
        error: the error.
    """
    return type(error).__module__.startswith(HUB_MODULES)


@contextmanager
def uploading(folder: Path, repository: str | None) -> Iterator[None]:
    """Convert errors of the Hub in the `with` block, which uploads a model, to one message.

    Args:
        folder: folder of the model.
        repository: id of the repository.

    Raises:
        RunStoppedError: the Hub refuses, or cannot be reached.
    """
    try:
        yield
    except Exception as error:
        if not is_hub_error(error):
            raise
        raise RunStoppedError(
            f"'{folder}' could not be uploaded to {repository}: {first_line(error)}. The folder has the whole model. "
            f"Check the token and the connection, then run: hf upload {repository} {folder}"
        ) from error


@contextmanager
def uploading_while_training(repository: str | None) -> Iterator[None]:
    """Log errors of the Hub in the `with` block, which uploads a checkpoint; the run goes on.

    Args:
        repository: id of the repository.
    """
    try:
        yield
    except Exception as error:
        if not is_hub_error(error):
            raise
        logger.warning("The checkpoint is not uploaded to %s: %s. The run goes on.", repository, first_line(error))
