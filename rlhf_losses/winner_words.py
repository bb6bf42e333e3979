"""Words that name the better one of two answers in a cell of a table, or say that neither is better."""

import re
from typing import Any

TIES = {"both", "equal", "same", "draw", "neither", "none", "no preference", "no difference"}
"""Winners that are ties, beside those that start with `tie`."""

NAMES = {"left": "a", "first": "a", "right": "b", "second": "b"}
"""Words that name a side."""

SIDE = re.compile(
    r"(?:(?:answer|assistant|candidate|choice|completion|model|option|output|reply|response|side|text|variant|version)"
    r"[ _-]?)?([ab12])"
)


def read_winner(value: Any) -> str | None:
    """Return which of two answers a cell names: `a`, `b` or `tie`.

    Args:
        value: a text in any case, or a number; a whole number in a column of floats is that number.

    Returns:
        The winner, an empty text for an empty cell, or None for any other value.

    Examples:
        >>> [read_winner(value) for value in ("Model_B", 1.0, "same", None, "maybe")]
        ['b', 'a', 'tie', '', None]
    """
    if isinstance(value, float):
        value = f"{value:g}" if value == value else ""
    word = "" if value is None else str(value).strip().lower()
    if not word:
        return ""
    if word.startswith("tie") or word in TIES:
        return "tie"
    side = SIDE.fullmatch(NAMES.get(word, word))
    return None if side is None else side.group(1).translate(str.maketrans("12", "ab"))
