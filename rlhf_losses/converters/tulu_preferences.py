"""Tulu preference mixtures: two conversations, and their prompt a second time."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import split_common_prefix
from rlhf_losses.converters.repeated_prompt import repeats_prompt, require_repeated_prompt
from rlhf_losses.converters.ultrafeedback_binarized import UltrafeedbackBinarized
from rlhf_losses.feedback.base import Row


class TuluPreferences(DatasetConverter):
    """Tulu 3 preference mixtures as `Pairs`; the prompt is the common beginning of both conversations.

    The column `prompt`, a text or messages, repeats a part of the conversations and is dropped: otherwise the model
    would read it twice. Every dataset with such columns is converted, unless it has ratings, which
    `ultrafeedback_binarized` reads. The other columns are kept.
    """

    columns = (("prompt", "chosen", "rejected"),)
    source = "https://huggingface.co/datasets/allenai/llama-3.1-tulu-3-8b-preference-mixture"

    def matches(self, row: Row) -> bool:
        return (
            super().matches(row)
            and all(repeats_prompt(row["prompt"], row[side]) for side in ("chosen", "rejected"))
            and not UltrafeedbackBinarized().matches(row)
        )

    def convert(self, row: Row) -> list[Row]:
        prompt, chosen, rejected = split_common_prefix(row["chosen"], row["rejected"])
        require_repeated_prompt(row["prompt"], row["chosen"])
        return [{**row, "prompt": prompt, "chosen": chosen, "rejected": rejected}]
