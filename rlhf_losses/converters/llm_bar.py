"""LLMBar: two outputs for one instruction, of which one follows it."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

OUTPUTS = ("output_1", "output_2")


class LlmBar(DatasetConverter):
    """LLMBar as `Pairs`: the column `label` is the number of the better output, 1 or 2.

    A row with a null label has no feedback.
    """

    columns = (("input", *OUTPUTS, "label"),)
    source = "https://github.com/princeton-nlp/LLMBar#data"

    def convert(self, row: Row) -> list[Row]:
        label = row["label"]
        if label is None or label != label:  # NaN, which differs from itself
            return []
        if label not in (1, 2):
            raise InvalidFeedbackError(
                f"The label is {label!r}, but it must be 1 or 2, the number of the better output. Fix or drop the row."
            )
        better, worse = OUTPUTS if label == 1 else OUTPUTS[::-1]
        return [
            {
                "prompt": as_messages("user", row["input"]),
                "chosen": as_messages("assistant", row[better]),
                "rejected": as_messages("assistant", row[worse]),
            }
        ]

    def texts(self, row: Row) -> list[Row]:
        answers = [as_messages("assistant", row[name]) for name in OUTPUTS]
        return [{"prompt": as_messages("user", row["input"]), "completions": answers}]
