"""Errors of this package.

    RlhfLossesError
    ├── UnknownNameError (LookupError)         unknown name of a loss, an option, a converter or a plugin
    ├── InvalidLossError (ValueError)          string that is not a sum of losses, or an option out of range
    ├── FeedbackMismatchError (TypeError)      feedback of a type that the loss does not accept
    ├── InvalidFeedbackError (ValueError)      feedback of the right type with invalid values
    │   └── OverlongTextError                  text with more tokens than the model allows
    ├── UnreadableDatasetError (OSError)       dataset that does not exist or cannot be read
    ├── UnsupportedModelError (ValueError)     model or tokenizer that does not give one score per text
    ├── InvalidArgumentError (TypeError)       argument of a type that the function does not accept
    ├── InvalidSettingError (ValueError)       setting out of range, or two settings that exclude each other
    ├── NonFiniteError (ArithmeticError)       NaN or infinity in scores, losses, rewards, gradients or weights
    ├── ProcessError (RuntimeError)            another process of the run has failed or ended
    ├── OutputExistsError (FileExistsError)    output folder or file that exists
    ├── DamagedCheckpointError (ValueError)    checkpoint of which a file is missing or has other content
    ├── RunStoppedError (OSError)              run that cannot read a file or write a checkpoint
    ├── MissingPackageError (ImportError)      optional package that is not installed
    └── PluginError                            plugin that cannot be loaded, or breaks the contract

The command line adds `CommandLineError` (`rlhf_losses.cli.argument_parser`). Each message states what was received,
why it cannot be used, and how to continue.
"""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

SHORTEST_BEGINNING = 3
"""Number of characters from which the beginning of a name can stand for the name."""


class RlhfLossesError(Exception):
    """Base class of all errors of this package."""


class UnknownNameError(RlhfLossesError, LookupError):
    """The name of a loss, an option, a converter or a plugin is unknown."""


class InvalidLossError(RlhfLossesError, ValueError):
    """A string is not a sum of losses with numbers as weights, or an option is out of range."""


class FeedbackMismatchError(RlhfLossesError, TypeError):
    """The data contain feedback of a type that the loss does not accept."""


class InvalidFeedbackError(RlhfLossesError, ValueError):
    """The feedback has the right type and invalid values."""


class OverlongTextError(InvalidFeedbackError):
    """A text has more tokens than the model allows."""


class UnreadableDatasetError(RlhfLossesError, OSError):
    """A dataset does not exist, or has a format that cannot be read."""


class UnsupportedModelError(RlhfLossesError, ValueError):
    """A model or a tokenizer does not give one score per text."""


class InvalidArgumentError(RlhfLossesError, TypeError):
    """An argument has a type that the function does not accept, or the function has no such argument."""


class InvalidSettingError(RlhfLossesError, ValueError):
    """A setting is out of range, or two settings exclude each other."""


class NonFiniteError(RlhfLossesError, ArithmeticError):
    """A score, a loss, a reward, a gradient or a weight is NaN or infinite."""


class ProcessError(RlhfLossesError, RuntimeError):
    """Another process of the run has failed or ended."""


class OutputExistsError(RlhfLossesError, FileExistsError):
    """The output folder or file exists already."""


class DamagedCheckpointError(RlhfLossesError, ValueError):
    """A file of a checkpoint is missing or has other content than was written."""


class RunStoppedError(RlhfLossesError, OSError):
    """A run cannot go on, because a file cannot be read or a checkpoint cannot be written."""


class MissingPackageError(RlhfLossesError, ImportError):
    """An optional package is not installed."""


class PluginError(RlhfLossesError):
    """A plugin cannot be loaded, or breaks the contract."""


def did_you_mean(name: str, known: Iterable[str], similarity: float = 0.6) -> str:
    """Return `" Did you mean 'x'?"` with the known name that is nearest, or an empty string.

    Case does not matter. If no name is similar, one that begins with the unknown name is the nearest.

    Args:
        name: unknown name.
        known: names to choose from.
        similarity: smallest similarity of the two names, from 0 to 1.

    Examples:
        >>> did_you_mean("bradly_terry", ["hinge", "bradley_terry"]), did_you_mean("stars", ["id", "Stars (1 to 5)"])
        (" Did you mean 'bradley_terry'?", " Did you mean 'Stars (1 to 5)'?")
    """
    by_lower_case = {one.lower(): one for one in known}
    word = str(name).lower()
    nearest = difflib.get_close_matches(word, by_lower_case, n=1, cutoff=similarity)
    if not nearest and len(word) >= SHORTEST_BEGINNING:
        nearest = [one for one in by_lower_case if one.startswith(word)]
    return f" Did you mean '{by_lower_case[nearest[0]]}'?" if nearest else ""


def shown(value: Any) -> str:
    """Return a value as a message shows it: its representation, shortened to 80 characters.

    Long and deep values are not written in full before they are shortened.

    Args:
        value: any value.

    Examples:
        >>> shown([1, 2]), shown(10**5000)
        ('[1, 2]', 'a value of the type int')
    """
    writer = reprlib.Repr()
    writer.maxlevel, writer.maxlist, writer.maxdict, writer.maxtuple = 4, 12, 8, 12
    writer.maxstring, writer.maxother = 76, 80
    try:
        return writer.repr(value)[:80]
    except Exception:  # an object of another library, or an integer with more digits than Python writes
        return f"a value of the type {type(value).__name__}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error of another library, without the full stop; its class if there is no text.

    Args:
        error: the error.

    Examples:
        >>> first_line(ValueError("No model.\\nSee the docs.")), first_line(KeyError("r"))
        ('No model', "KeyError: 'r'")
    """
    line = (str(error).strip().splitlines() or [""])[0].rstrip(".: ")[:300]
    return line if " " in line else f"{type(error).__name__}: {line}".rstrip(": ")


def counted_from_0(row: int) -> str:
    """Return how the number of a row in a message is counted, and the number of the row in a sheet.

    Args:
        row: position of the row, from 0.

    Examples:
        >>> counted_from_0(32)
        'Rows are counted from 0: row 32 is row 34 of a sheet with a header.'
    """
    return f"Rows are counted from 0: row {row} is row {row + 2} of a sheet with a header."
