"""PPE, human preferences: votes of Chatbot Arena between two responses."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

SIDES = ("response_1", "response_2")


class PpePreference(DatasetConverter):
    """The human preferences of PPE as `Pairs`; every winner that starts with `tie` is a tie.

    A row with a null winner has no feedback.
    """

    columns = (("prompt", *SIDES, "winner"),)
    source = "https://huggingface.co/datasets/lmarena-ai/PPE-Human-Preference-V1"

    def convert(self, row: Row) -> list[Row]:
        if row["winner"] is None:
            return []
        winner = str(row["winner"])
        if winner not in ("model_a", "model_b") and not winner.startswith("tie"):
            raise InvalidFeedbackError(
                f"The winner is {winner!r}, but it must be model_a, model_b or a tie. Fix or drop the row."
            )
        better, worse = SIDES[::-1] if winner == "model_b" else SIDES
        return [
            {
                "prompt": as_messages("user", row["prompt"]),
                "chosen": as_messages("assistant", row[better]),
                "rejected": as_messages("assistant", row[worse]),
                "preference": 0.5 if winner.startswith("tie") else 1.0,
            }
        ]

    def texts(self, row: Row) -> list[Row]:
        answers = [as_messages("assistant", row[name]) for name in SIDES]
        return [{"prompt": as_messages("user", row["prompt"]), "completions": answers}]
