"""What the columns of a dataset are used for, from their names."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from rlhf_losses.feedback import FEEDBACK_TYPES

ValuePath: TypeAlias = tuple[str, ...]
"""Keys that lead from the values of a column to values in them; empty for the values themselves."""


@dataclass(frozen=True)
class ColumnUses:
    """What the columns of a dataset are used for.

    Attributes:
        names: new names of the values in each column, by path.
        feedback: new names that feedback types in the dataset use.
    """

    names: Mapping[str, Mapping[ValuePath, str]]
    feedback: frozenset[str]


@cache
def column_uses(columns: tuple[str, ...], targets: frozenset[tuple[str, str]]) -> ColumnUses:
    """Return what columns are used for.

    Args:
        columns: names of the columns.
        targets: pairs of an old and a new name. `response.text` is the value `text` of the objects in `response`.

    Examples:
        >>> renaming = [("question", "prompt"), ("response.text", "completion"), ("response.score", "rating")]
        >>> uses = column_uses(("question", "response", "id"), frozenset(renaming))
        >>> uses.names["question"], uses.names["id"], uses.names["response"][("text",)]
        ({(): 'prompt'}, {(): 'id'}, 'completion')
        >>> sorted(uses.feedback)
        ['completion', 'prompt', 'rating']
    """
    paths: dict[str, dict[ValuePath, str]] = {column: {} for column in columns}
    for old, new in targets:
        head, *path = [old] if old in paths else old.split(".")
        if head in paths:
            paths[head][tuple(path)] = new
    names = {column: found or {(): column} for column, found in paths.items()}
    every = {name for found in names.values() for name in found.values()}
    matching = [one for one in FEEDBACK_TYPES if one.matches_columns(sorted(every))]
    used = {column for one in matching for column in (*one.optional_columns, *(c for cs in one.columns for c in cs))}
    return ColumnUses(names, frozenset(every & used))
