"""Words for good and bad answers in a column of labels."""

import re
from typing import Any

GOOD = frozenset(
    ("true", "yes", "y", "good", "up", "like", "liked", "positive", "pos", "correct", "right", "helpful", "accepted",
     "pass", "passed", "thumbs up", "thumbsup", "👍", "+", "ja")
)  # fmt: skip

BAD = frozenset(
    ("false", "no", "n", "bad", "down", "dislike", "disliked", "negative", "neg", "incorrect", "wrong", "unhelpful",
     "rejected", "fail", "failed", "thumbs down", "thumbsdown", "👎", "nein")
)  # fmt: skip

SKIN_TONES = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f]")
"""Characters that change how an emoji is drawn."""


def read_label_word(value: Any) -> bool | None:
    """Return whether a word says that an answer is good, or None for a value that is no such word.

    Args:
        value: a value of a row or of a cell, in any case.

    Examples:
        >>> [read_label_word(value) for value in ("Thumbs_up", "no", "👍🏽", "4", True)]
        [True, False, True, None, None]
    """
    if not isinstance(value, str):
        return None
    word = SKIN_TONES.sub("", value).strip().lower().replace("_", " ")
    return True if word in GOOD else False if word in BAD else None
