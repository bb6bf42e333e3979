"""Stack Exchange, paired: two answers to one question, the better one first."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.feedback.base import Row


class StackExchangePaired(DatasetConverter):
    """Paired Stack Exchange answers as `Pairs`: `response_j` has more votes than `response_k`."""

    columns = (("question", "response_j", "response_k"),)
    source = "https://huggingface.co/datasets/lvwerra/stack-exchange-paired"

    def convert(self, row: Row) -> list[Row]:
        return [
            {
                "prompt": as_messages("user", row["question"]),
                "chosen": as_messages("assistant", row["response_j"]),
                "rejected": as_messages("assistant", row["response_k"]),
            }
        ]
