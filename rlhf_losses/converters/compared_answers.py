"""Two answers and the better one of them, as in sheets of A/B tests."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.winner_words import read_winner
from rlhf_losses.messages.documentation import documentation

SIDES = ("response_a", "response_b")

KEPT = ("prompt", "margin", "weight")
"""Columns of pairs that are not changed."""


class ComparedAnswers(DatasetConverter):
    """Rows with two answers and the better one of them as `Pairs` with a preference: 1, or 0.5 for a tie.

    The winner is `a` or `b`, `1` or `2`, `left` or `right`, `first` or `second`, or `l` or `r`, in any case and also
    with other words (`model_a`, `answer 2`, `left is better`); `tie`, `draw`, `both`, `neither`, `same`, `equal` and
    the like are ties. A row with an empty winner, or one such as `skip` or `n/a`, has no feedback. The columns
    `prompt`, `margin` and `weight` are kept.

    Examples:
        >>> row = {"prompt": "2 + 2 = ", "response_a": "5", "response_b": "4", "winner": "B"}
        >>> ComparedAnswers().convert(row)
        [{'prompt': '2 + 2 = ', 'chosen': '4', 'rejected': '5', 'preference': 1.0}]
    """

    columns = ((*SIDES, "winner"),)
    source = documentation("how-to/use-your-data.md")

    def convert(self, row: Row) -> list[Row]:
        winner = read_winner(row["winner"])
        if winner == "":
            return []
        if winner is None:
            raise InvalidFeedbackError(
                f"The winner is {row['winner']!r}, which names neither response_a nor response_b. Write a, b or tie, "
                "or skip, or nothing, where nobody judged."
            )
        better, worse = SIDES[::-1] if winner == "b" else SIDES
        kept = {name: row[name] for name in KEPT if name in row}
        pair = {"chosen": row[better], "rejected": row[worse], "preference": 0.5 if winner == "tie" else 1.0}
        return [kept | pair]

    def texts(self, row: Row) -> list[Row]:
        return [{name: row[name] for name in ("prompt", *SIDES) if name in row}]
