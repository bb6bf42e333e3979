"""RewardBench: a prompt with a chosen and a rejected answer, from many sources."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.feedback.base import Row


class RewardBench(DatasetConverter):
    """RewardBench as `Pairs` of messages. The column `subset` is kept.

    The columns have the names of this library, but the texts are turns of a conversation: the chat template belongs
    between prompt and answer.
    """

    columns = (("prompt", "chosen", "rejected", "chosen_model", "rejected_model", "subset"),)
    source = "https://huggingface.co/datasets/allenai/reward-bench"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and all(isinstance(row[name], str) for name in ("prompt", "chosen", "rejected"))

    def convert(self, row: Row) -> list[Row]:
        return [
            {
                "prompt": as_messages("user", row["prompt"]),
                "chosen": as_messages("assistant", row["chosen"]),
                "rejected": as_messages("assistant", row["rejected"]),
                "subset": row["subset"],
            }
        ]
