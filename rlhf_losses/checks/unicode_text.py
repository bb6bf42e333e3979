"""Texts that are not valid Unicode: half of a character that consists of two, as after cutting JSON."""

from collections.abc import Mapping
from types import NoneType
from typing import Any

from rlhf_losses.errors import InvalidFeedbackError

WITHOUT_TEXT = {int, float, bool, NoneType}
"""Types of values in lists that are not checked one by one, such as tokens."""


def lone_surrogate(text: str) -> str | None:
    """Return the first half of a character that consists of two, as after cutting JSON, or None for valid Unicode.

    Examples:
        >>> ascii(lone_surrogate("a" + chr(0xD800))), lone_surrogate("né")
        ("'\\\\ud800'", None)
    """
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return text[error.start]
    return None


def require_unicode(value: Any, place: str) -> None:
    """Raise `InvalidFeedbackError` if a text in a value is not valid Unicode.

    Args:
        value: a text, or lists and mappings with texts.
        place: where it is, for the message.
    """
    if isinstance(value, str):
        half = lone_surrogate(value)
        if half is not None:
            raise InvalidFeedbackError(
                f"{place} contains {half!a}, which is half of a character and not valid Unicode. Remove it, or write "
                "the whole character."
            )
    elif isinstance(value, list | tuple):
        if not set(map(type, value)) <= WITHOUT_TEXT:
            for element in value:
                require_unicode(element, place)
    elif isinstance(value, dict | Mapping):
        for key, element in value.items():
            require_unicode(key, place)
            require_unicode(element, place)
