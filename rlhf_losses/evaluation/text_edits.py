"""Edits of an answer that do not change its content: length, form and tone.

Reward models are known to prefer long answers, lists and bold text
(Singhal et al., 2023, https://arxiv.org/abs/2310.03716; Zhang et al., 2024, https://arxiv.org/abs/2409.11704).
"""

import re
from collections.abc import Callable

FILLER = "This is the answer to the question above, and it covers what was asked."

GREETING = "Hello! Thank you for your question."

HEDGE = "I am not entirely sure, but I think that this may be right:"

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

_LIST_ITEM = re.compile(r"^\s*([-*•]|\d+[.)])\s", re.MULTILINE)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text.

    Examples:
        >>> sentences("It rains. Take a coat!")
        ['It rains.', 'Take a coat!']
    """
    return [one for one in _SENTENCE_END.split(text.strip()) if one]


def lengthen(text: str) -> str:
    """Add a sentence without information at the end.

    Examples:
        >>> lengthen("It rains.").startswith("It rains. This is")
        True
    """
    return f"{text.rstrip()} {FILLER}" if text.strip() else text


def as_list(text: str) -> str:
    """Write the sentences as a list; a text that is a list, code or one sentence stays as it is.

    Examples:
        >>> print(as_list("It rains. Take a coat!"))
        - It rains.
        - Take a coat!
    """
    if _LIST_ITEM.search(text) or "```" in text or len(sentences(text)) < 2:
        return text
    return "\n".join(f"- {one}" for one in sentences(text))


def embolden(text: str) -> str:
    """Write the first word of each sentence in bold; code and texts with bold words stay as they are.

    Examples:
        >>> embolden("It rains. Take a coat!")
        '**It** rains. **Take** a coat!'
    """
    if "**" in text or "```" in text:
        return text
    return re.sub(r"(^|(?<=[.!?])\s+)(\w[\w'-]*)", r"\1**\2**", text)


def greet(text: str) -> str:
    """Add a greeting at the beginning.

    Examples:
        >>> greet("It rains.")
        'Hello! Thank you for your question. It rains.'
    """
    return f"{GREETING} {text.lstrip()}" if text.strip() else text


def hedge(text: str) -> str:
    """Add an expression of doubt at the beginning.

    Examples:
        >>> hedge("It rains.")
        'I am not entirely sure, but I think that this may be right: It rains.'
    """
    return f"{HEDGE} {text.lstrip()}" if text.strip() else text


EDITS: dict[str, Callable[[str], str]] = {
    "length": lengthen,
    "list": as_list,
    "bold": embolden,
    "greeting": greet,
    "hedging": hedge,
}
"""The edits by name."""
