"""Stanford Human Preferences: two comments on one post of Reddit or Stack Exchange."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

COMMENTS = ("human_ref_B", "human_ref_A")
"""The preferred comment by label: 0 is comment B, 1 is comment A."""


class Shp(DatasetConverter):
    """Stanford Human Preferences (SHP and SHP-2) as `Pairs`: the comment with more votes is chosen.

    A row with a null label has no feedback.
    """

    columns = (("history", "human_ref_A", "human_ref_B", "labels"),)
    source = "https://huggingface.co/datasets/stanfordnlp/SHP"

    def convert(self, row: Row) -> list[Row]:
        label = row["labels"]
        if label is None:
            return []
        if label not in (0, 1):
            raise InvalidFeedbackError(
                f"The column labels is {label!r}, but it must be 1 (comment A is preferred) or 0 (comment B is "
                "preferred). Fix or drop the row."
            )
        return [
            {
                "prompt": as_messages("user", row["history"]),
                "chosen": as_messages("assistant", row[COMMENTS[int(label)]]),
                "rejected": as_messages("assistant", row[COMMENTS[1 - int(label)]]),
            }
        ]

    def texts(self, row: Row) -> list[Row]:
        answers = [as_messages("assistant", row[name]) for name in COMMENTS[::-1]]
        return [{"prompt": as_messages("user", row["history"]), "completions": answers}]
