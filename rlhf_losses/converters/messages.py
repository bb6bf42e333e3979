"""Conversations as lists of messages: made of texts, and taken apart where two of them part."""

import re

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Messages

_TURN = re.compile(r"\n<extra_id_1>(User|Assistant)\n")


def said_by(role: str, text: str | None) -> Messages:
    """Return a conversation of one message; a text that is missing is an empty message.

    >>> said_by("user", "Why?")
    [{'role': 'user', 'content': 'Why?'}]
    """
    return [{"role": role, "content": text or ""}]


def turns(prompts: list[str | None], answers: list[str | None]) -> Messages:
    """Return prompts and answers in turn.

    >>> [message["content"] for message in turns(["a", "c"], ["b", "d"])]
    ['a', 'b', 'c', 'd']
    """
    return [
        message
        for prompt, answer in zip(prompts, answers, strict=True)
        for message in said_by("user", prompt) + said_by("assistant", answer)
    ]


def marked_turns(text: str) -> Messages:
    r"""Read the turns of a prompt in which `<extra_id_1>` and a role stand before every turn but the first.

    >>> [(m["role"], m["content"]) for m in marked_turns("hi\n<extra_id_1>Assistant\nhello\n<extra_id_1>User\nbye")]
    [('user', 'hi'), ('assistant', 'hello'), ('user', 'bye')]
    """
    first, *rest = _TURN.split(text)
    spoken = zip(rest[::2], rest[1::2], strict=True)
    return said_by("user", first) + [{"role": role.lower(), "content": content} for role, content in spoken]


def plain(messages: Messages) -> Messages:
    """Return messages with their role and content alone."""
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def apart(first: Messages, second: Messages) -> tuple[Messages, Messages, Messages]:
    """Return what two conversations share at their beginning, and what follows in each.

    >>> hi, yes, no = said_by("user", "hi"), said_by("assistant", "yes"), said_by("assistant", "no")
    >>> apart(hi + yes, hi + no) == (hi, yes, no)
    True
    """
    first, second = plain(first), plain(second)
    if not first or not second:
        raise InvalidFeedbackError("One of the two conversations has no messages. Drop the row, or complete it.")
    # The answers are never empty, also where both are the same.
    longest = min(len(first), len(second)) - 1
    shared = next((i for i in range(longest) if first[i] != second[i]), longest)
    return first[:shared], first[shared:], second[shared:]
