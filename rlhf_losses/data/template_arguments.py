"""Arguments of the chat template in the columns of a row, the same in training, evaluation, scoring and RL."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, meta

from rlhf_losses.checks.unicode_text import require_unicode
from rlhf_losses.converters.messages import without_nulls
from rlhf_losses.errors import InvalidFeedbackError, shown

TEMPLATE_COLUMNS = ("tools", "documents", "system", "chat_template_kwargs")
"""Columns with arguments of the chat template; `tools` and `chat_template_kwargs` are those of TRL."""

RESERVED = (
    "add_generation_prompt",
    "continue_final_message",
    "conversation",
    "max_length",
    "messages",
    "padding",
    "return_dict",
    "return_tensors",
    "tokenize",
    "truncation",
)
"""Arguments of `apply_chat_template` that rendering sets."""

_GENERATION_TAG = re.compile(r"{%-?\s*(?:end)?generation\s*-?%}")


def template_arguments(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the chat template in a row.

    Args:
        row: a row of a dataset. `tools` and `documents` are lists or their JSON text, and `chat_template_kwargs` is a
            mapping or its JSON text, which takes precedence.

    Raises:
        InvalidFeedbackError: a column has another type, or is not valid JSON or Unicode.

    Examples:
        >>> template_arguments({"prompt": "Hi", "tools": '[{"name": "search"}]', "documents": None})
        {'tools': [{'name': 'search'}]}
    """
    own = {name: _parse(name, row[name], list) for name in ("tools", "documents") if not _is_missing(row.get(name))}
    given = row.get("chat_template_kwargs")
    arguments = {} if _is_missing(given) else _parse("chat_template_kwargs", given, dict)
    unnamed = next((key for key in arguments if not isinstance(key, str)), None)
    if unnamed is not None:
        raise InvalidFeedbackError(
            f"Column 'chat_template_kwargs' has the key {shown(unnamed)}, but arguments of the chat template have "
            "texts as names. Correct the row."
        )
    reserved = sorted(set(arguments) & set(RESERVED))
    if reserved:
        raise InvalidFeedbackError(
            f"Column 'chat_template_kwargs' sets {' and '.join(reserved)}, which the rendering of texts sets itself. "
            "Remove it; other arguments are passed to the chat template."
        )
    # Some templates render an introduction also for an empty list of tools.
    return {name: value for name, value in {**own, **arguments}.items() if not _is_empty(value)}


def with_template_arguments(
    rows: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any], tools: Sequence[Any] = ()
) -> list[dict[str, Any]]:
    """Return rows with the chat template arguments of a run; arguments in a row take precedence.

    Args:
        rows: rows of a dataset.
        arguments: `chat_template_kwargs` of the run.
        tools: tools of the run: functions, or their schemas.

    Examples:
        >>> with_template_arguments([{"prompt": "Hi"}], {"enable_thinking": False})
        [{'prompt': 'Hi', 'chat_template_kwargs': {'enable_thinking': False}}]
    """
    shared = {"tools": list(tools)} if tools else {}
    completed = [{**row, **{name: row.get(name) or value for name, value in shared.items()}} for row in rows]
    if arguments:
        for row in completed:
            given = row.get("chat_template_kwargs")
            own = {} if _is_missing(given) else _parse("chat_template_kwargs", given, dict)
            row["chat_template_kwargs"] = {**arguments, **own}
    return completed


@lru_cache(maxsize=32)
def has_variable(template: str, name: str) -> bool:
    """Return whether a chat template reads a variable that it does not set.

    Args:
        template: the template.
        name: name of the variable.

    Examples:
        >>> has_variable("{% if system %}{{ system }}{% endif %}", "system")
        True
    """
    environment = Environment(extensions=["jinja2.ext.loopcontrols"])
    try:
        parsed = environment.parse(_GENERATION_TAG.sub("", template))
    except TemplateSyntaxError:
        return False
    return name in meta.find_undeclared_variables(parsed)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, list) and not value)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value)


def _parse(name: str, value: Any, expected: type) -> Any:
    """Return a value of the expected type; a text is JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InvalidFeedbackError(
                f"Column '{name}' is the text {shown(value)}, which is not valid JSON: {error}. Write JSON, or a "
                f"{expected.__name__}."
            ) from None
    else:
        try:
            value = without_nulls(value)
        except RecursionError:
            raise InvalidFeedbackError(
                f"Column '{name}' has lists or objects in one another, deeper than Python can read. Correct the row."
            ) from None
    if not isinstance(value, expected):
        raise InvalidFeedbackError(
            f"Column '{name}' is {shown(value)}, but the chat template needs a {expected.__name__}. Correct the row."
        )
    require_unicode(value, f"Column '{name}'")
    return value
