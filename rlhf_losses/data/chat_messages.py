"""Messages of conversations as they are rendered: without null keys, and with texts as contents."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rlhf_losses.checks.unicode_text import require_unicode
from rlhf_losses.converters.messages import without_nulls
from rlhf_losses.errors import InvalidFeedbackError, shown
from rlhf_losses.feedback.base import Messages

PLAIN = {"role", "content"}
"""Keys of most messages."""

ENVELOPE = ("role", "name")
"""Keys of a message other than its content and its tool calls."""


def clean_messages(messages: Sequence[Any]) -> Messages:
    """Return messages without null keys; a content of text parts becomes one text.

    Arrow tables store null for every key that a message or a tool call never had, so null and a missing key are the
    same. A message with tool calls alone has an empty content.

    Args:
        messages: messages with a role and a content or tool calls.

    Raises:
        InvalidFeedbackError: an entry is not a message, has a content that is not text, or says nothing.

    Examples:
        >>> clean_messages([{"role": "user", "content": [{"type": "text", "text": "Why?"}], "tool_calls": None}])
        [{'role': 'user', 'content': 'Why?'}]
    """
    return [_clean_message(message, index) for index, message in enumerate(messages)]


def clean_content(value: Any, place: str) -> Any:
    """Return a text, or messages as `clean_messages` returns them. JSON may hold a number as a text.

    Args:
        value: content of a column, a prompt or an answer.
        place: where it is, for messages.

    Raises:
        InvalidFeedbackError: the value is neither a text nor a list of messages, or it is not valid Unicode.

    Examples:
        >>> clean_content("Why?", "The prompt"), clean_content(4, "Column 'completion'")
        ('Why?', 4)
    """
    if isinstance(value, str):
        if not value.isascii():
            require_unicode(value, place)
        return value
    if isinstance(value, list):
        return _clean_messages_at(value, place)
    if not isinstance(value, bool | int | float):
        raise InvalidFeedbackError(
            f"{place} is {shown(value)} of the type {type(value).__name__}, which is neither a text nor a list of "
            "messages. Write a text, or a list of messages with a role and a content."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidFeedbackError(
            f"{place} is the number {value}, which stands for a missing text. Add the text, or drop the row."
        )
    return value


def is_message(value: Any) -> bool:
    """Return whether a value is a message: a mapping with a role."""
    return isinstance(value, dict | Mapping) and isinstance(value.get("role"), str)  # dict first, because it is fast


def content_text(content: str | Messages) -> str:
    """Return a text, or the joined contents of messages.

    Examples:
        >>> content_text([{"role": "assistant", "content": "4"}])
        '4'
    """
    if not isinstance(content, list):  # JSON may hold an answer like 4
        return str(content)
    return "".join(str(message.get("content") or "") for message in content)


def is_blank(content: str | Messages | None) -> bool:
    """Return whether a text or every message of a conversation is empty. A message with tool calls is not empty.

    Examples:
        >>> is_blank(" "), is_blank([{"role": "assistant", "content": "", "tool_calls": [{"name": "search"}]}])
        (True, False)
    """
    if isinstance(content, list):
        return all(is_blank(message.get("content")) and not message.get("tool_calls") for message in content)
    # JSON may hold an answer like true or 4, which is rendered as text.
    return content is None or not str(content).strip()


def _clean_messages_at(messages: list[Any], place: str) -> Messages:
    """Return messages as `clean_messages` does; the place is in every error."""
    wrong = next((index for index, one in enumerate(messages) if not is_message(one)), None)
    if wrong is not None:
        raise InvalidFeedbackError(
            f"{place} is {shown(messages)}, which is neither a text nor a list of messages: message {wrong} is "
            f"{shown(messages[wrong])}, which has no role. Write a text, or messages as "
            '{"role": "user", "content": "..."}; a dataset converter reads other formats.'
        )
    try:
        require_unicode(messages, place)
        return clean_messages(messages)
    except InvalidFeedbackError as error:
        raise InvalidFeedbackError(str(error) if str(error).startswith(place) else f"{place}: {error}") from None
    except RecursionError:
        raise InvalidFeedbackError(
            f"{place} has lists or objects in one another, deeper than Python can read. Correct it, or drop the row."
        ) from None


def _clean_message(message: Any, index: int) -> dict[str, Any]:
    if not is_message(message):
        raise InvalidFeedbackError(
            f"Message {index} is {shown(message)}, which has no role. Write messages as "
            '{"role": "user", "content": "..."}, or choose a dataset converter.'
        )
    if message.keys() == PLAIN and isinstance(message["content"], str):
        return dict(message)
    cleaned: dict[str, Any] = without_nulls(message)
    if set(cleaned) <= set(ENVELOPE):
        raise InvalidFeedbackError(
            f"Message {index}, of the role '{cleaned['role']}', has neither a content nor tool calls (null), so there "
            "is no text. Add the content, or drop the row."
        )
    # Some templates refuse a missing content, and none renders an empty one.
    cleaned["content"] = _text_of(cleaned.get("content", ""), index)
    return cleaned


def convert_tool_arguments(messages: Messages) -> Messages:
    """Return messages whose tool calls have their arguments as an object where they were JSON text, and vice versa.

    Args:
        messages: messages of a conversation.

    Examples:
        >>> call = {"function": {"name": "search", "arguments": '{"query": "cats"}'}}
        >>> convert_tool_arguments([{"role": "assistant", "tool_calls": [call]}])[0]["tool_calls"][0]["function"]
        {'name': 'search', 'arguments': {'query': 'cats'}}
    """
    return [
        {**message, "tool_calls": [_convert_call(call) for call in message["tool_calls"]]}
        if message.get("tool_calls")
        else message
        for message in messages
    ]


def tool_names(message: Mapping[str, Any]) -> list[str]:
    """Return the names of the functions that a message calls."""
    calls = [call.get("function", call) for call in message.get("tool_calls") or [] if isinstance(call, Mapping)]
    return [str(call["name"]) for call in calls if isinstance(call, Mapping) and "name" in call]


def _convert_call(call: Any) -> Any:
    if not isinstance(call, Mapping):
        return call
    if isinstance(call.get("function"), Mapping):
        return {**call, "function": _convert_call(call["function"])}
    arguments = call.get("arguments")
    if isinstance(arguments, Mapping):
        return {**call, "arguments": json.dumps(arguments, ensure_ascii=False)}
    try:
        return {**call, "arguments": json.loads(arguments)} if isinstance(arguments, str) else call
    except ValueError:
        return call


def _text_of(content: Any, index: int) -> str:
    """Return a content as text; the texts of its parts are joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, bool | int | float):  # JSON may hold an answer like 4
        return str(content)
    if isinstance(content, list):
        return "".join(_texts_of(content, index))
    raise InvalidFeedbackError(
        f"Message {index} has the content {shown(content)}, which is neither a text nor a list of text parts. "
        "Write the content as a string."
    )


def _texts_of(parts: Iterable[Any], index: int) -> Iterable[str]:
    for part in parts:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str):
            kind = part.get("type", "unknown") if isinstance(part, Mapping) else type(part).__name__
            raise InvalidFeedbackError(
                f"Message {index} has a part of the type '{kind}', but reward models of this library read text only. "
                "Remove the part, or drop the row."
            )
        yield text
