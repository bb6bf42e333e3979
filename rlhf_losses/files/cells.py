"""Cells of CSV, TSV and Excel files: a text is the text that is written, and only an empty cell is missing."""

import ast
import math
import re
import tokenize
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from rlhf_losses.feedback.label_words import read_label_word
from rlhf_losses.files.column_uses import column_uses
from rlhf_losses.files.value_types import parse_json

LEADING_ZERO = re.compile(r"[+-]?0\d")

CellKind: TypeAlias = Literal["text", "number", "label", "list", "object"]
Cells: TypeAlias = Mapping[str, str | None]

TEXT_COLUMNS = (
    *("prompt", "completion", "chosen", "rejected", "text", "messages", "system"),
    *("instruction", "question", "problem", "input", "query", "context", "content", "output", "answer", "solution"),
    *("response", "response_1", "response_2", "response1", "response2", "response_a", "response_b"),
)
"""Columns of feedback types and of well-known datasets with texts or conversations. A text like `7` remains a text."""

STRUCTURED_COLUMNS: Mapping[str, CellKind] = {
    "completions": "list",
    "documents": "list",
    "tools": "list",
    "chat_template_kwargs": "object",
}
"""Columns that contain lists or objects in every dataset, written as JSON."""

FEEDBACK_COLUMNS: Mapping[str, CellKind] = {
    **dict.fromkeys(("rating", "margin", "weight", "preference", "tie", "ties"), "number"),
    "label": "label",
    **dict.fromkeys(("ranks", "ratings", "labels", "votes"), "list"),
    **dict.fromkeys(("chosen_steps", "rejected_steps", "completion_steps", "chosen_ids", "rejected_ids"), "list"),
    "attributes": "object",
}
"""Kinds of the other columns of feedback types; they apply to datasets that contain the feedback type."""


def column_kinds(columns: Iterable[str], rows: Iterable[Cells], targets: Mapping[str, str]) -> dict[str, CellKind]:
    """Return the kind of each column.

    Columns of feedback types have the kind that the feedback needs, and columns with a well-known name of texts contain
    texts. A column of texts contains conversations if its first text is one. A column whose values have columns of
    their own, as in `completion=response.text`, contains objects or lists. Any other column contains numbers if all of
    its cells are numbers or booleans without leading zeros, and lists or objects if all of its cells are.

    Args:
        columns: names of the columns.
        rows: the rows that decide.
        targets: new names of columns that will be renamed.

    Examples:
        >>> rows = [{"prompt": "7", "score": "1.5", "id": "007"}, {"prompt": "8", "score": "2", "id": "8"}]
        >>> column_kinds(["prompt", "score", "id"], rows, targets={})
        {'prompt': 'text', 'score': 'number', 'id': 'text'}
    """
    known = known_kinds(columns, targets)
    texts = {column for column, kind in known.items() if kind in (None, "text")}
    first = dict.fromkeys(texts, "")
    numbers = structures = {column for column, kind in known.items() if kind is None}
    for row in rows:
        first |= {column: row[column] or "" for column in texts if not first[column]}
        numbers = {column for column in numbers if _is_number(row[column] or "0")}
        structures = {column for column in structures if _is_structure(row[column] or "[]")}
        if not numbers and not structures and all(first.values()):
            break
    conversations = {
        column for column in texts if (known[column] or column in structures) and is_conversation(first[column])
    }
    inferred: dict[str, CellKind] = {
        **dict.fromkeys(structures, "object"),
        **dict.fromkeys(numbers, "number"),
        **dict.fromkeys(conversations, "list"),
    }
    return {column: inferred.get(column) or kind or "text" for column, kind in known.items()}


def known_kinds(columns: Iterable[str], targets: Mapping[str, str]) -> dict[str, CellKind | None]:
    """Return the kind of each column that its name tells, and None for other columns.

    Args:
        columns: names of the columns.
        targets: new names of columns that will be renamed.

    Examples:
        >>> known_kinds(["prompt", "response", "id"], targets={"response.text": "completion"})
        {'prompt': 'text', 'response': 'object', 'id': None}
    """
    uses = column_uses(tuple(columns), frozenset(targets.items()))
    return {
        column: _kind_by_name(paths[()], uses.feedback) if () in paths else "object"
        for column, paths in uses.names.items()
    }


def read_cell(cell: str, kind: CellKind) -> Any:
    """Return the value of a cell that is not empty.

    Args:
        cell: the text of the cell.
        kind: kind of its column.

    Raises:
        ValueError: the text is not of this kind.

    Examples:
        >>> read_cell("007", "text"), read_cell("007", "number"), read_cell("FALSE", "number")
        ('007', 7, False)
        >>> read_cell("yes", "label")
        True
    """
    return _READERS[kind](cell)


def read_inferred_cell(cell: str, kind: CellKind) -> Any:
    """Return the value of a cell that is not empty, in a column whose kind only its first cells tell.

    Args:
        cell: the text of the cell.
        kind: kind of the first cells.

    Returns:
        The value, or the text if it is not of this kind.

    Examples:
        >>> read_inferred_cell("7", "number"), read_inferred_cell("007", "number"), read_inferred_cell("a", "list")
        (7, '007', 'a')
    """
    if kind == "number" and not _is_number(cell):
        return cell
    try:
        return read_cell(cell, kind)
    except ValueError:
        return cell


def parse_list(text: str) -> list[Any]:
    """Return a list that is written as JSON or as a Python literal, as `to_csv` of pandas and `datasets` writes it.

    Args:
        text: the text of a cell.

    Raises:
        ValueError: the text is not a list.

    Examples:
        >>> parse_list('[1, 2]'), parse_list("['a', None]"), parse_list("['a' 'b']")
        ([1, 2], ['a', None], ['a', 'b'])
    """
    parsed = _parse_literal(text)
    if not isinstance(parsed, list):
        raise ValueError(f"{text!r} is not a list")
    return parsed


def is_conversation(text: str) -> bool:
    """Return whether a text is a list of messages.

    Examples:
        >>> is_conversation('[{"role": "user", "content": "Hi"}]'), is_conversation("[3]")
        (True, False)
    """
    try:
        messages = parse_list(text) if text.startswith("[") else []
    except ValueError:
        return False
    return bool(messages) and all(isinstance(message, dict) and "role" in message for message in messages)


def _kind_by_name(name: str, feedback: frozenset[str]) -> CellKind | None:
    if name in TEXT_COLUMNS:
        return "text"
    return STRUCTURED_COLUMNS.get(name) or (FEEDBACK_COLUMNS.get(name) if name in feedback else None)


def _is_number(text: str) -> bool:
    """Return whether a text is a number or a boolean; one with leading zeros is an identifier."""
    try:
        _parse_number(text)
    except ValueError:
        return False
    return LEADING_ZERO.match(text) is None


def _is_structure(text: str) -> bool:
    """Return whether a text is a list or an object."""
    try:
        return text.startswith(("[", "{")) and _parse_object(text) is not None
    except ValueError:
        return False


def _parse_number(text: str) -> int | float | bool:
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    if "_" in word or not math.isfinite(float(word)):
        raise ValueError(f"{text!r} is not a finite number")
    return int(word) if word.lstrip("+-").isdecimal() else float(word)


def _parse_label(text: str) -> int | float | bool:
    word = read_label_word(text)
    return _parse_number(text) if word is None else word


def _parse_object(text: str) -> dict[str, Any] | list[Any]:
    parsed = _parse_literal(text)
    if not isinstance(parsed, dict | list):
        raise ValueError(f"{text!r} is not an object or a list")
    return parsed


def _parse_literal(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(_with_commas(text))
    except (SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError) as error:
        raise ValueError(str(error)) from None


def _with_commas(text: str) -> str:
    """Return a Python literal with commas between values that have none, as in the arrays of `Dataset.to_csv`.

    Examples:
        >>> _with_commas("['a' 'b']"), _with_commas("[1 -2]")
        ("['a' ,'b']", '[1 ,-2]')
    """
    lines = text.splitlines(keepends=True)
    tokens = [token for token in tokenize.generate_tokens(iter(lines).__next__) if token.string.strip()]
    if any(token.string == "..." for token in tokens):
        raise ValueError(f"{text!r} is not complete")
    missing = [
        after.start
        for before, after in pairwise(tokens)
        if before.end != after.start and _ends_value(before) and (after.string in ("[", "{", "-") or _is_value(after))
    ]
    for row, column in reversed(missing):
        lines[row - 1] = f"{lines[row - 1][:column]},{lines[row - 1][column:]}"
    return "".join(lines)


def _ends_value(token: tokenize.TokenInfo) -> bool:
    return token.string in ("]", "}") or _is_value(token)


def _is_value(token: tokenize.TokenInfo) -> bool:
    return token.type in (tokenize.STRING, tokenize.NUMBER, tokenize.NAME)


_READERS: Mapping[CellKind, Callable[[str], Any]] = {
    "text": str,
    "number": _parse_number,
    "label": _parse_label,
    "list": parse_list,
    "object": _parse_object,
}
