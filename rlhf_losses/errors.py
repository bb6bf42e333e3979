"""Everything that this package raises on purpose.

::

    RlhfLossesError
    ├── UnknownNameError (LookupError)          no loss, option or plugin has that name
    ├── InvalidLossError (ValueError)        a text that is not a sum of losses, or an option out of range
    ├── FeedbackMismatchError (TypeError)       the data hold one kind of feedback, the loss reads another
    ├── InvalidFeedbackError (ValueError)       the right kind of feedback, with values that cannot be
    ├── UnsupportedModelError (ValueError)         a model or tokenizer that cannot give one score a text
    ├── InvalidSettingError (ValueError)       a setting out of range, or two that exclude each other
    ├── OutputExistsError (FileExistsError)        the output folder holds an earlier run
    └── PluginError                        a plugin that cannot be loaded, or breaks the contract

The command line adds `CommandLineError`, see `rlhf_losses.cli.argument_parser`. Each message says what arrived, why that
cannot work, and what to type next.
"""

import difflib
from collections.abc import Iterable


class RlhfLossesError(Exception):
    """Base of every error that this package raises on purpose."""


class UnknownNameError(RlhfLossesError, LookupError):
    """No loss, option or plugin has that name."""


class InvalidLossError(RlhfLossesError, ValueError):
    """A text that is not a sum of losses with number weights, or an option out of range."""


class FeedbackMismatchError(RlhfLossesError, TypeError):
    """The data hold one kind of feedback and the loss reads another."""


class InvalidFeedbackError(RlhfLossesError, ValueError):
    """The right kind of feedback, with values that cannot be."""


class UnsupportedModelError(RlhfLossesError, ValueError):
    """A model or tokenizer that cannot give one score a text."""


class InvalidSettingError(RlhfLossesError, ValueError):
    """A setting out of range, or two that exclude each other."""


class OutputExistsError(RlhfLossesError, FileExistsError):
    """The output folder already holds a run."""


class PluginError(RlhfLossesError):
    """A plugin that cannot be loaded, or that breaks the contract."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known name, or an empty text.

    >>> did_you_mean("bradly_terry", ["hinge", "bradley_terry"])
    " Did you mean 'bradley_terry'?"
    """
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""
