"""Helpers for conversations, which are lists of messages with a role and a content."""

import re
from collections.abc import Mapping
from typing import Any

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Messages

TRANSCRIPT_ROLES = {"Human": "user", "Assistant": "assistant"}

SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "observation": "tool",
    "tool": "tool",
}

_TRANSCRIPT_TURN = re.compile(r"(?:^|\n\n)[ \n]*(Human|Assistant): ?")
_TURN_MARKER = re.compile(r"\n<extra_id_1>(User|Assistant)\n")


def single_message(role: str, text: str | None) -> Messages:
    """Return a conversation with one message.

    Raises:
        InvalidFeedbackError: the text is missing.

    Examples:
        >>> single_message("user", "Why?")
        [{'role': 'user', 'content': 'Why?'}]
    """
    if text is None:
        raise InvalidFeedbackError(
            f"The text of the {role} is null, so there is nothing to read. Complete or drop the row."
        )
    return [{"role": role, "content": text}]


def as_messages(role: str, content: str | Messages | None) -> Messages:
    """Return a text as a conversation with one message, and a conversation without its null fields.

    Raises:
        InvalidFeedbackError: the content is missing.

    Examples:
        >>> as_messages("user", "Why?") == as_messages("user", [{"role": "user", "content": "Why?", "name": None}])
        True
    """
    return without_nulls(content) if isinstance(content, list) else single_message(role, content)


def interleave_turns(prompts: list[str | None], answers: list[str | None]) -> Messages:
    """Return the conversation in which each prompt is followed by its answer; a missing text becomes an empty one.

    Examples:
        >>> [message["content"] for message in interleave_turns(["a", "c"], ["b", "d"])]
        ['a', 'b', 'c', 'd']
    """
    return [
        message
        for prompt, answer in zip(prompts, answers, strict=True)
        for message in single_message("user", prompt or "") + single_message("assistant", answer or "")
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


def parse_transcript(text: str) -> Messages:
    r"""Parse a transcript in which `Human:` or `Assistant:` precedes every turn, without white space around the turns.

    An empty last turn, after which the answer follows, is left out.

    Raises:
        InvalidFeedbackError: the text does not begin with such a turn.

    Examples:
        >>> text = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: bye\n\nAssistant: "
        >>> [(message["role"], message["content"]) for message in parse_transcript(text)]
        [('user', 'hi'), ('assistant', 'hello'), ('user', 'bye')]
    """
    before, *rest = _TRANSCRIPT_TURN.split(text)
    if before.strip() or not rest:
        raise InvalidFeedbackError(
            f"The transcript is {text!r:.80}, which does not begin with 'Human:' or 'Assistant:', so its turns are "
            "unknown. Fix or drop the row."
        )
    turns = list(zip(rest[::2], rest[1::2], strict=True))
    last = len(turns) - 1
    return [
        {"role": TRANSCRIPT_ROLES[name], "content": content.strip()}
        for i, (name, content) in enumerate(turns)
        if content.strip() or i < last
    ]


def from_sharegpt(turns: list[dict[str, Any]]) -> Messages:
    """Return a conversation whose turns have the fields `from` and `value`, with the names of roles as they are here.

    Raises:
        InvalidFeedbackError: an unknown role.

    Examples:
        >>> from_sharegpt([{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}])
        [{'role': 'user', 'content': 'hi'}, {'role': 'assistant', 'content': 'hello'}]
    """
    for turn in turns:
        if turn["from"] not in SHAREGPT_ROLES:
            raise InvalidFeedbackError(
                f"A turn is from {turn['from']!r}, but the known roles are {', '.join(SHAREGPT_ROLES)}. Fix the row."
            )
    return [message for turn in turns for message in single_message(SHAREGPT_ROLES[turn["from"]], turn["value"])]


def is_conversation(content: Any) -> bool:
    """Return whether a value is a non-empty list of messages with a role.

    Examples:
        >>> is_conversation([{"role": "user", "content": "Why?"}]), is_conversation(["Why?"]), is_conversation([])
        (True, False, False)
    """
    return isinstance(content, list) and bool(content) and all(isinstance(m, dict) and "role" in m for m in content)


def without_nulls(value: Any) -> Any:
    """Return JSON data without the keys whose value is null, at every depth.

    A table has the same keys in every row, so its format fills with null what a message never had.

    Examples:
        >>> without_nulls({"name": "search", "arguments": {"query": None, "limits": [{"low": 1, "high": None}]}})
        {'name': 'search', 'arguments': {'limits': [{'low': 1}]}}
    """
    if isinstance(value, Mapping):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list | tuple) else value


def split_common_prefix(first: Messages, second: Messages) -> tuple[Messages, Messages, Messages]:
    """Split two conversations into their common prefix and the rest of each, without null fields.

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
    first, second = without_nulls(first), without_nulls(second)
    if not first or not second:
        raise InvalidFeedbackError(
            f"The two conversations have {len(first)} and {len(second)} messages. Both need at least one message. "
            "Drop or complete the row."
        )
    longest = min(len(first), len(second)) - 1
    length = next((i for i in range(longest) if first[i] != second[i]), longest)
    return first[:length], first[length:], second[length:]
