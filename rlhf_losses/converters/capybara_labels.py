"""Capybara for KTO: one conversation with a label and a rating, and its prompt a second time."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import without_nulls
from rlhf_losses.converters.repeated_prompt import repeats_prompt, require_repeated_prompt
from rlhf_losses.feedback.base import Row


class CapybaraLabels(DatasetConverter):
    """Conversations with a label, such as Capybara for KTO, as `Labels`, and as `Ratings` if they have a rating.

    The last message is the answer, and the messages before it are the prompt. The column `prompt` repeats a part of
    them and is replaced: otherwise the model would read it twice. The other columns are kept.
    """

    columns = (("prompt", "completion", "label"), ("prompt", "completion", "rating"))
    source = "https://huggingface.co/datasets/argilla/distilabel-capybara-kto-15k-binarized"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and repeats_prompt(row["prompt"], row["completion"])

    def convert(self, row: Row) -> list[Row]:
        require_repeated_prompt(row["prompt"], row["completion"])
        *prompt, answer = without_nulls(row["completion"])
        return [{**row, "prompt": prompt, "completion": [answer]}]
