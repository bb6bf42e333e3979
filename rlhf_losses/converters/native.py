"""Native: the columns are ours already, which are TRL's wherever TRL has a name."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.feedback import FEEDBACK_TYPES
from rlhf_losses.feedback.base import Row


class Native(DatasetConverter):
    """Rows as they are: pairs, labels and steps as TRL writes them, and rankings, ratings and votes.

    TRL calls the first three preference, unpaired preference and stepwise supervision.
    """

    columns = tuple(way for kind in FEEDBACK_TYPES for way in kind.columns)
    source = "https://huggingface.co/docs/trl/dataset_formats"

    def read(self, row: Row) -> list[Row]:
        return [row]
