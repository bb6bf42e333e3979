"""Datasets that already have the columns of this library."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.feedback import FEEDBACK_TYPES
from rlhf_losses.feedback.base import Row


class Native(DatasetConverter):
    """Rows that need no conversion: the dataset types of TRL, and rankings, ratings, votes and attributes.

    TRL's preference data are `Pairs`, its unpaired preference data are `Labels`, and its stepwise supervision data
    are `Steps`.
    """

    columns = tuple(alternative for feedback_type in FEEDBACK_TYPES for alternative in feedback_type.columns)
    source = "https://huggingface.co/docs/trl/dataset_formats"

    def convert(self, row: Row) -> list[Row]:
        return [row]
