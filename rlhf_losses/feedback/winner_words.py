"""Words that name the better one of two answers in a cell of a table, or say that neither is better."""

import re
from typing import Any

TIES = ("both", "equal", "same", "draw", "neither", "none", "no preference", "no difference")
"""Winners that are ties, beside those that start with `tie`."""

UNJUDGED = ("skip", "skipped", "unjudged", "unsure", "invalid", "n/a", "na", "nan", "null", "-", "?")
"""Words of rows that nobody judged, which are read as an empty cell."""

NAMES = {"left": "a", "first": "a", "l": "a", "right": "b", "second": "b", "r": "b"}
"""Words that name a side."""

NOUNS = (
    "answer", "assistant", "candidate", "choice", "completion", "model", "option", "output", "reply", "response",
    "side", "text", "variant", "version",
)  # fmt: skip
"""Words that can come before or after a side, as in `model_a` and `left answer`."""

WINNER = re.compile(
    rf"(?:(?:{'|'.join(NOUNS)})[ _-]?)?([ab12]|{'|'.join(NAMES)})(?:[ _-](?:{'|'.join(NOUNS)}))?"
    r"(?:[ _-](?:is[ _-])?(?:better|best|preferred|wins|won))?"
)


def read_winner(value: Any) -> str | None:
    """Return which of two answers a cell names: `a`, `b` or `tie`.

    Args:
        value: a text in any case, or a number; a whole number in a column of floats is that number.

    Returns:
        The winner, an empty text for an empty cell and for one that nobody judged, or None for any other value.

    Examples:
        >>> [read_winner(value) for value in ("Model_B", 1.0, "left is better", "same", "SKIP", None, "maybe")]
        ['b', 'a', 'a', 'tie', '', '', None]
    """
    if isinstance(value, float):
        value = f"{value:g}" if value == value else ""
    word = "" if value is None else str(value).strip().lower()
    if not word or word in UNJUDGED:
        return ""
    if word.startswith("tie") or word in TIES:
        return "tie"
    winner = WINNER.fullmatch(word)
    return None if winner is None else NAMES.get(winner[1], winner[1]).translate(str.maketrans("12", "ab"))
