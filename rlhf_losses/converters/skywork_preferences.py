"""Skywork Reward Preference: two conversations from several sources."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import is_conversation, split_common_prefix
from rlhf_losses.feedback.base import Row


class SkyworkPreferences(DatasetConverter):
    """Skywork Reward Preference as `Pairs`; the prompt is the common beginning of both conversations.

    The column `source` is kept.
    """

    columns = (("chosen", "rejected", "source"),)
    source = "https://huggingface.co/datasets/Skywork/Skywork-Reward-Preference-80K-v0.2"

    def matches(self, row: Row) -> bool:
        others = set(row) - set(self.columns[0])
        return (
            super().matches(row) and not others and all(is_conversation(row[side]) for side in ("chosen", "rejected"))
        )

    def convert(self, row: Row) -> list[Row]:
        prompt, chosen, rejected = split_common_prefix(row["chosen"], row["rejected"])
        return [{**row, "prompt": prompt, "chosen": chosen, "rejected": rejected}]
