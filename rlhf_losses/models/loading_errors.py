"""Errors of other libraries about a model or a tokenizer that cannot be loaded, as one message."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlhf_losses.errors import RlhfLossesError, UnsupportedModelError, first_line
from rlhf_losses.messages.setting_names import setting


@contextmanager
def explain_loading(path: str | Path, role: str) -> Iterator[None]:
    """Raise `UnsupportedModelError` in place of the errors of other libraries inside the context.

    Args:
        path: folder or Hub id that is loaded.
        role: what it is loaded as, with its article: `"a reward model"`.
    """
    try:
        yield
    except RlhfLossesError:
        raise
    except Exception as error:  # a damaged file can cause any error in any of the libraries
        if needs_code(error):
            raise UnsupportedModelError(
                f"'{path}' comes with Python code, which is not executed unless you trust it. Read the code, and then "
                f"set {setting('trust_remote_code', python='trust_remote_code=True')}."
            ) from error
        raise UnsupportedModelError(
            f"'{path}' cannot be loaded as {role}: {first_line(error)}. Check the folder or the Hub id. "
            "If a file is damaged, download or save it again."
        ) from error


def needs_code(error: Exception) -> bool:
    """Return whether an error says that a model needs code which is not trusted."""
    return isinstance(error, ValueError) and "trust_remote_code" in str(error)
