"""Helpers for conversations, which are lists of messages with a role and a content."""

import re

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Messages

_TURN_MARKER = re.compile(r"\n<extra_id_1>(User|Assistant)\n")


def single_message(role: str, text: str | None) -> Messages:
    """Return a conversation with one message. A missing text becomes an empty message.

    Examples:
        >>> single_message("user", "Why?")
        [{'role': 'user', 'content': 'Why?'}]
    """
    return [{"role": role, "content": text or ""}]


def interleave_turns(prompts: list[str | None], answers: list[str | None]) -> Messages:
    """Return the conversation in which each prompt is followed by its answer.

    Examples:
        >>> [message["content"] for message in interleave_turns(["a", "c"], ["b", "d"])]
        ['a', 'b', 'c', 'd']
    """
    return [
        message
        for prompt, answer in zip(prompts, answers, strict=True)
        for message in single_message("user", prompt) + single_message("assistant", answer)
    ]


def parse_turn_markers(text: str) -> Messages:
    r"""Parse a prompt in which `<extra_id_1>` and a role precede every turn except the first.

    Examples:
        >>> text = "hi\n<extra_id_1>Assistant\nhello\n<extra_id_1>User\nbye"
        >>> [(message["role"], message["content"]) for message in parse_turn_markers(text)]
        [('user', 'hi'), ('assistant', 'hello'), ('user', 'bye')]
    """
    first, *rest = _TURN_MARKER.split(text)
    turns = zip(rest[::2], rest[1::2], strict=True)
    return single_message("user", first) + [{"role": role.lower(), "content": content} for role, content in turns]


def drop_extra_fields(messages: Messages) -> Messages:
    """Return the messages with only their role and content."""
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def split_common_prefix(first: Messages, second: Messages) -> tuple[Messages, Messages, Messages]:
    """Split two conversations into their common prefix and the rest of each.

    Returns:
        The common prefix, the rest of `first` and the rest of `second`. Both rests have at least one message, also if
        the conversations are equal.

    Raises:
        InvalidFeedbackError: a conversation has no messages.

    Examples:
        >>> hi, yes, no = (single_message(*m) for m in [("user", "hi"), ("assistant", "yes"), ("assistant", "no")])
        >>> split_common_prefix(hi + yes, hi + no) == (hi, yes, no)
        True
    """
    first, second = drop_extra_fields(first), drop_extra_fields(second)
    if not first or not second:
        raise InvalidFeedbackError(
            f"The two conversations have {len(first)} and {len(second)} messages. Both need at least one message. "
            "Drop or complete the row."
        )
    longest = min(len(first), len(second)) - 1
    length = next((i for i in range(longest) if first[i] != second[i]), longest)
    return first[:length], first[length:], second[length:]
