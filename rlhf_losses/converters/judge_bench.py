"""JudgeBench: two responses of which one is objectively right."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

SIDES = ("response_A", "response_B")
OUTCOMES = {"A>B": (SIDES, 1.0), "B>A": (SIDES[::-1], 1.0), "A=B": (SIDES, 0.5)}
"""The better and the worse side of each label, and the preference."""


class JudgeBench(DatasetConverter):
    """JudgeBench as `Pairs` with a preference: 1, or 0.5 for the label `A=B`, which is a tie.

    A row with a null label has no feedback. The column `source` is kept.
    """

    columns = (("question", *SIDES, "label"),)
    source = "https://huggingface.co/datasets/ScalerLab/JudgeBench"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and isinstance(row["label"], str | None)

    def convert(self, row: Row) -> list[Row]:
        if row["label"] is None:
            return []
        label = str(row["label"]).replace(" ", "")
        if label not in OUTCOMES:
            raise InvalidFeedbackError(
                f"The label is {row['label']!r}, but it must be one of {', '.join(OUTCOMES)}. Fix or drop the row."
            )
        (better, worse), preference = OUTCOMES[label]
        return [
            {
                "prompt": as_messages("user", row["question"]),
                "chosen": as_messages("assistant", row[better]),
                "rejected": as_messages("assistant", row[worse]),
                "preference": preference,
                **{name: row[name] for name in ("source",) if name in row},
            }
        ]

    def texts(self, row: Row) -> list[Row]:
        answers = [as_messages("assistant", row[name]) for name in SIDES]
        return [{"prompt": as_messages("user", row["question"]), "completions": answers}]
