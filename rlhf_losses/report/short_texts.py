"""Long texts cut at words."""

import textwrap


def shortened(text: str, limit: int) -> str:
    """Return a text in one line that is cut at a word if it is too long; within a long word if there is no other place.

    Args:
        text: the text.
        limit: largest number of characters.

    Examples:
        >>> shortened("a text of words", 12), shortened("abcdefgh", 5), shortened("short", 5)
        ('a text of …', 'abcd…', 'short')
    """
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    return textwrap.shorten(line, limit, placeholder=" …") if " " in line[: limit - 1] else f"{line[: limit - 1]}…"
