"""UltraInteract: a right and a wrong next action after several turns with an environment."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import from_sharegpt, single_message
from rlhf_losses.converters.scored_answers import has_fields
from rlhf_losses.feedback.base import Row


class UltraInteract(DatasetConverter):
    """UltraInteract as `Pairs`: the trajectory becomes the messages of the prompt, followed by one of two actions."""

    columns = (("trajectory", "chosen", "rejected"),)
    source = "https://huggingface.co/datasets/openbmb/UltraInteract_pair"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and has_fields(row["trajectory"], "from", "value")

    def convert(self, row: Row) -> list[Row]:
        return [
            {
                "prompt": from_sharegpt(row["trajectory"]),
                "chosen": single_message("assistant", row["chosen"]),
                "rejected": single_message("assistant", row["rejected"]),
            }
        ]
