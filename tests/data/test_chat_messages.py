"""Messages as they are stored in files: with null keys, with parts as contents, or broken."""

import json

import pytest

from rlhf_losses.converters.messages import without_nulls
from rlhf_losses.data.chat_messages import (
    clean_messages,
    content_text,
    convert_tool_arguments,
    is_blank,
    tool_names,
)
from rlhf_losses.errors import InvalidFeedbackError

CALL = {"type": "function", "function": {"name": "search", "arguments": {"query": "cats"}}}


def test_keys_that_an_arrow_table_fills_with_null_are_removed_at_every_depth():
    stored = {
        "role": "assistant",
        "content": None,
        "name": None,
        "tool_calls": [
            {**CALL, "id": None, "function": {"name": "search", "arguments": {"query": "cats", "city": None}}}
        ],
    }
    assert clean_messages([stored]) == [{"role": "assistant", "tool_calls": [CALL], "content": ""}]


def test_values_that_are_false_or_empty_are_kept():
    assert without_nulls({"a": 0, "b": False, "c": "", "d": [], "e": None}) == {"a": 0, "b": False, "c": "", "d": []}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Why?", "Why?"),
        ([{"type": "text", "text": "Why"}, {"type": "text", "text": "?"}], "Why?"),
        ([{"type": "text", "text": "Why?", "image_url": None}], "Why?"),
        (["Why", "?"], "Why?"),
        ([], ""),
        (4, "4"),
    ],
)
def test_text_parts_are_read_as_one_text(content, text):
    assert clean_messages([{"role": "user", "content": content}]) == [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]},
            "part of the type 'image'",
        ),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "part of the type 'text'"),
        ({"role": "user", "content": {"text": "What?"}}, "neither a text nor a list"),
        ({"role": "assistant", "content": None}, r"neither a content nor tool calls \(null\)"),
        ({"role": "assistant", "name": "bot"}, "neither a content nor tool calls"),
        ({"from": "human", "value": "Hi"}, "has no role"),
        ("Hi", "has no role"),
        ({"role": None, "content": "Hi"}, "has no role"),
    ],
)
def test_a_message_without_a_text_is_refused_with_its_index(message, problem):
    with pytest.raises(InvalidFeedbackError, match=f"Message 1 .*{problem}|Message 1, .*{problem}"):
        clean_messages([{"role": "user", "content": "Hi"}, message])


def test_a_message_with_tool_calls_is_not_blank():
    assert not is_blank([{"role": "assistant", "tool_calls": [CALL]}])
    assert is_blank([{"role": "assistant", "content": " \n"}])
    assert is_blank(None)
    assert not is_blank(False)  # JSON false is an answer


def test_the_text_of_messages_is_the_text_of_their_contents():
    assert content_text([{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [CALL]}]) == "a"


def test_arguments_of_tool_calls_are_converted_to_json_text_and_back():
    message = {"role": "assistant", "tool_calls": [CALL, {"name": "plain", "arguments": "{broken"}]}
    (once,) = convert_tool_arguments([message])
    assert json.loads(once["tool_calls"][0]["function"]["arguments"]) == {"query": "cats"}
    assert convert_tool_arguments([once]) == [message]
    assert tool_names(message) == ["search", "plain"]
