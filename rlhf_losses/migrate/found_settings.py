"""Settings as they are found in a file."""

import re
from dataclasses import dataclass
from typing import Any

NUMBER = re.compile(r"[+-]?(0|[1-9][\d_]*)?(\.\d*)?([eE][+-]?\d+)?")
WORDS = {"true": True, "false": False, "none": None, "null": None}


@dataclass(frozen=True)
class Unread:
    """A value that is not in the file.

    Attributes:
        text: what is in its place, such as a variable.
        reason: why it has no value.
    """

    text: str
    reason: str


@dataclass(frozen=True)
class Found:
    """A setting of a file.

    Attributes:
        name: its name.
        value: its value, or an `Unread`.
        place: where it is, such as `line 12`.
        spelling: how the file writes the name, if not like this.
    """

    name: str
    value: Any
    place: str = ""
    spelling: str = ""

    @property
    def shown_name(self) -> str:
        """Return the name as the file writes it."""
        return self.spelling or self.name


@dataclass(frozen=True)
class Source:
    """What a file says about a run.

    Attributes:
        key: the system and its command, as in `System.key`.
        settings: the settings, in their order.
        processes: number of processes that the launcher starts, or None if it is not known.
        notes: what the reader of the report must know about the file.
        where: the command or the trainer, with its line.
    """

    key: str
    settings: tuple[Found, ...]
    processes: int | None = None
    notes: tuple[str, ...] = ()
    where: str = ""


def typed(value: Any) -> Any:
    """Return the number, the truth value or the null that a text is; other values as they are.

    Examples:
        >>> typed("1e-5"), typed("True"), typed("007"), typed("none")
        (1e-05, True, '007', None)
    """
    if isinstance(value, list):
        return [typed(one) for one in value]
    if not isinstance(value, str):
        return value
    if value.lower() in WORDS:
        return WORDS[value.lower()]
    if not any(char.isdigit() for char in value) or not NUMBER.fullmatch(value):
        return value
    number = float(value)
    is_integer = not any(char in value for char in ".eE")
    return int(value) if is_integer else number
