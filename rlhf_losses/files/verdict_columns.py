"""Columns that say which of two answers is better, recognized by their values."""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

from rlhf_losses.feedback.winner_words import read_winner

VERDICTS = frozenset(
    ("winner", "winning", "wins", "preferred", "prefers", "preference", "pref", "better", "best", "choice", "chosen",
     "choose", "pick", "picked", "selected", "selection", "vote", "verdict", "label", "judgement", "judgment",
     "decision", "result", "outcome")
)  # fmt: skip
"""Words in the name of a column that says which of two answers is better."""

MEASURES = frozenset(
    ("n", "num", "number", "count", "counts", "votes", "score", "rating", "strength", "margin", "confidence", "rank",
     "grade", "level", "agreement", "difficulty", "time", "seconds", "age", "length", "weight")
)  # fmt: skip
"""Words in the name of a column of numbers that are no verdicts."""

PARTS = frozenset(
    ("group", "arm", "cohort", "split", "fold", "batch", "variant", "version", "condition", "set", "subset", "order",
     "position", "turn", "round", "stage", "phase", "class", "type", "category", "section", "session", "answer",
     "gold", "target", "solution", "key", "correct")
)  # fmt: skip
"""Words in the name of a column of letters or numbers that divide the data, or are right answers."""

SHARE = 0.9
"""Share of the values that name a winner from which a column is one of winners; the others can be typing errors."""

NUMBERS = ("1", "2", "1.0", "2.0")
"""Numbers of sides, as cells have them."""

LONGEST = 30
"""Number of characters of the longest value of a column whose name alone says that it names the better answer."""


class Evidence(IntEnum):
    """How much the values and the name of a column say that it names the better one of two answers."""

    NONE = 0
    NAME = 1  # by its name alone
    POSSIBLE = 2  # one side only; 1 and 2 under any name; or sides beside one other word, which can be a tie
    CLEAR = 3


def verdict_evidence(name: str, values: Iterable[Any]) -> Evidence:
    """Return how much a column looks like one that names the better of two answers.

    Numbers and letters can also divide the data into parts, such as the turns 1 and 2, so usual names of parts and of
    measured numbers exclude a column. `CLEAR` needs both sides among the values, and for 1 and 2 alone a name that says
    that it is a verdict; beside ties they are under any name, and so are letters and words.

    Args:
        name: name of the column.
        values: some of its values.

    Examples:
        >>> verdict_evidence("preferred", [1, 2, None]).name, verdict_evidence("checked", ["1", "2", "same"]).name
        ('CLEAR', 'CLEAR')
        >>> verdict_evidence("page", [1, 2]).name, verdict_evidence("turn", [1, 2]).name
        ('POSSIBLE', 'NONE')
    """
    words = set(words_of(name))
    is_named = bool(words & VERDICTS)
    if words & MEASURES or (words & PARTS and not is_named):
        return Evidence.NONE
    filled = [value for value in values if read_winner(value) != ""]
    winners = [value for value in filled if read_winner(value)]
    others = {str(value).strip().lower() for value in filled} - {str(value).strip().lower() for value in winners}
    has_both_sides = {"a", "b"} <= set(map(read_winner, winners))
    are_numbers = all(str(value).strip() in NUMBERS for value in winners)
    is_mostly_winners = bool(winners) and len(winners) >= SHARE * len(filled)
    if is_mostly_winners and (is_named or not are_numbers):
        return Evidence.CLEAR if has_both_sides else Evidence.POSSIBLE
    if has_both_sides and (is_mostly_winners or (len(others) == 1 and _could_be_tie(min(others)))):
        return Evidence.CLEAR if is_named else Evidence.POSSIBLE
    return Evidence.NAME if is_named and all(len(str(value)) <= LONGEST for value in filled) else Evidence.NONE


def find_verdict(columns: Mapping[str, Sequence[Any]]) -> str | None:
    """Return the column that most likely names the better one of two answers, or None.

    Args:
        columns: some values of each column; none if they are unknown.

    Examples:
        >>> find_verdict({"id": [1, 2], "judged": ["a", "tie", "b"], "best": ["x", "y", "z"]})
        'judged'
    """
    evidence = {name: verdict_evidence(name, values) for name, values in columns.items()}
    best = max(evidence, key=lambda name: evidence[name], default=None)
    return best if best is not None and evidence[best] else None


def _could_be_tie(value: str) -> bool:
    return value == "0" or (value.isalpha() and len(value) > 1)


def words_of(name: str) -> list[str]:
    """Return the words of the name of a column in lower case.

    Args:
        name: name of the column.

    Examples:
        >>> words_of("betterAnswer_id")
        ['better', 'answer', 'id']
    """
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
