"""Stanford Human Preferences: of two comments on a post, compatible_losses preferred one."""

from collections.abc import Mapping
from typing import Any

from rlhf_losses import DatasetConverter, InvalidFeedbackError, hookimpl


class StanfordPreferences(DatasetConverter):
    """Pairs of comments, the preferred one chosen; posts and comments become messages."""

    columns = (("history", "human_ref_A", "human_ref_B", "labels"),)
    source = "https://huggingface.co/datasets/stanfordnlp/SHP"

    def read(self, row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        if row["labels"] not in (0, 1):
            raise InvalidFeedbackError(
                f"The column labels is {row['labels']!r}, but it is 1 where comment A is preferred and 0 where B is. "
                "Mend the row or drop it."
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
    """Return the converter."""
    return [StanfordPreferences]
