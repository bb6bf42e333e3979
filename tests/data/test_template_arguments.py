"""Arguments of the chat template in the columns of a row and in the settings of a run."""

import json

import pytest

from rlhf_losses.data.template_arguments import RESERVED, has_variable, template_arguments, with_template_arguments
from rlhf_losses.errors import InvalidFeedbackError

TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {"properties": {"query": {}}}}}]


@pytest.mark.parametrize(
    ("row", "arguments"),
    [
        ({}, {}),
        ({"tools": TOOLS}, {"tools": TOOLS}),
        ({"tools": json.dumps(TOOLS)}, {"tools": TOOLS}),
        ({"tools": None, "documents": None, "chat_template_kwargs": None}, {}),
        ({"tools": [], "documents": "[]"}, {}),
        ({"documents": [{"text": "Cats purr.", "url": None}]}, {"documents": [{"text": "Cats purr."}]}),
        ({"chat_template_kwargs": {"enable_thinking": False, "effort": None}}, {"enable_thinking": False}),
        ({"chat_template_kwargs": '{"enable_thinking": false}'}, {"enable_thinking": False}),
        ({"tools": TOOLS, "chat_template_kwargs": {"tools": [{"name": "other"}]}}, {"tools": [{"name": "other"}]}),
    ],
)  # fmt: skip
def test_arguments_are_read_from_the_columns_of_trl(row, arguments):
    assert template_arguments({"prompt": "Hi", **row}) == arguments


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tools": "[{"}, "Column 'tools' is the text .* not valid JSON"),
        ({"tools": '{"name": "search"}'}, "Column 'tools' .* needs a list"),
        ({"documents": 3}, "Column 'documents' is 3"),
        ({"chat_template_kwargs": [1]}, "Column 'chat_template_kwargs' .* needs a dict"),
        ({"chat_template_kwargs": {"style": "a\udfff"}}, "Column 'chat_template_kwargs' .* half of a character"),
        ({"chat_template_kwargs": '{"style": "a\\udfff"}'}, "Column 'chat_template_kwargs' .* half of a character"),
        ({"tools": [{"name": "\ud800"}]}, "Column 'tools' .* half of a character"),
        ({"documents": [{"\ud800": "text"}]}, "Column 'documents' .* half of a character"),
    ],
)
def test_arguments_of_another_type_are_refused(row, message):
    with pytest.raises(InvalidFeedbackError, match=message):
        template_arguments(row)


@pytest.mark.parametrize("name", RESERVED)
def test_arguments_that_rendering_sets_are_refused(name):
    with pytest.raises(InvalidFeedbackError, match=f"'chat_template_kwargs' sets {name}"):
        template_arguments({"chat_template_kwargs": {name: True}})


def test_arguments_of_a_row_take_precedence_over_those_of_the_run():
    rows = [{"prompt": "a", "chat_template_kwargs": '{"x": 2}'}, {"prompt": "b", "tools": TOOLS}]
    completed = with_template_arguments(rows, {"x": 1, "y": 1}, tools=[{"name": "of the run"}])
    assert [row["chat_template_kwargs"] for row in completed] == [{"x": 2, "y": 1}, {"x": 1, "y": 1}]
    assert [row["tools"] for row in completed] == [[{"name": "of the run"}], TOOLS]
    assert rows[1] == {"prompt": "b", "tools": TOOLS}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{% if system is defined %}{{ system }}{% endif %}", True),
        ("{% generation %}{{ system }}{% endgeneration %}", True),
        ("{% set system = messages[0] %}{{ system }}", False),
        ("{% for m in messages %}{{ m['role'] == 'system' }}{% endfor %}", False),
        ("{% broken", False),
    ],
)
def test_a_variable_of_a_template_is_one_that_it_does_not_set(template, expected):
    assert has_variable(template, "system") is expected
