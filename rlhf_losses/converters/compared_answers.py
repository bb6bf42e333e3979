"""Two answers and the better one of them, as in sheets of A/B tests."""

import re
from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.documentation import documentation
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

SIDES = ("response_a", "response_b")

TIES = {"both", "equal", "same", "draw", "neither", "none", "no preference", "no difference"}
"""Winners that are ties, beside those that start with `tie`."""

NAMES = {"left": "a", "first": "a", "right": "b", "second": "b"}
"""Words that name a side."""

SIDE = re.compile(
    r"(?:(?:answer|assistant|candidate|choice|completion|model|option|output|reply|response|side|text)[ _-]?)?([ab12])"
)

KEPT = ("prompt", "margin", "weight")
"""Columns of pairs that are not changed."""


class ComparedAnswers(DatasetConverter):
    """Rows with two answers and the better one of them as `Pairs` with a preference: 1, or 0.5 for a tie.

    The winner is `a` or `b`, `1` or `2`, with or without a word before it (`model_a`, `answer 2`), in any case. A row
    with an empty winner has no feedback. The columns `prompt`, `margin` and `weight` are kept.

    Examples:
        >>> row = {"prompt": "2 + 2 = ", "response_a": "5", "response_b": "4", "winner": "B"}
        >>> ComparedAnswers().convert(row)
        [{'prompt': '2 + 2 = ', 'chosen': '4', 'rejected': '5', 'preference': 1.0}]
    """

    columns = ((*SIDES, "winner"),)
    source = documentation("how-to/use-your-data.md")

    def convert(self, row: Row) -> list[Row]:
        winner = _normalized(row["winner"])
        if not winner:
            return []
        is_tie = winner.startswith("tie") or winner in TIES
        side = SIDE.fullmatch(NAMES.get(winner, winner))
        if not is_tie and side is None:
            raise InvalidFeedbackError(
                f"The winner is {row['winner']!r}, which names neither response_a nor response_b. Write a, b or tie, "
                "or leave it empty where nobody judged."
            )
        better, worse = SIDES[::-1] if side and side.group(1) in "b2" else SIDES
        kept = {name: row[name] for name in KEPT if name in row}
        pair = {"chosen": row[better], "rejected": row[worse], "preference": 0.5 if is_tie else 1.0}
        return [kept | pair]

    def texts(self, row: Row) -> list[Row]:
        return [{name: row[name] for name in ("prompt", *SIDES) if name in row}]


def _normalized(winner: Any) -> str:
    """Return a winner in lower case; a whole number in a column of floats is that number."""
    if isinstance(winner, float):
        return f"{winner:g}" if winner == winner else ""
    return "" if winner is None else str(winner).strip().lower()
