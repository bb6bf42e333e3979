"""Dataset converter for Stanford Human Preferences: pairs of comments on one post."""

from collections.abc import Mapping
from typing import Any

from rlhf_losses import DatasetConverter, InvalidFeedbackError, hookimpl


class StanfordPreferences(DatasetConverter):
    """Stanford Human Preferences as `Pairs`: the preferred comment is chosen. Posts and comments become messages."""

    columns = (("history", "human_ref_A", "human_ref_B", "labels"),)
    source = "https://huggingface.co/datasets/stanfordnlp/SHP"

    def convert(self, row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        if row["labels"] not in (0, 1):
            raise InvalidFeedbackError(
                f"The column labels is {row['labels']!r}, but it must be 1 (comment A is preferred) or 0 "
                "(comment B is preferred). Fix or drop the row."
            )
        comments = [row["human_ref_B"], row["human_ref_A"]]
        chosen, rejected = comments[row["labels"]], comments[1 - row["labels"]]
        return [
            {
                "prompt": [{"role": "user", "content": row["history"]}],
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
            }
        ]


@hookimpl
def provide_dataset_converters() -> list[type[DatasetConverter]]:
    """Return the converter of this plugin."""
    return [StanfordPreferences]
