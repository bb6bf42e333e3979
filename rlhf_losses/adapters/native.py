"""Native: the columns are ours already, which are TRL's wherever TRL has a name."""

from rlhf_losses.adapters.base import Adapter
from rlhf_losses.feedback import KINDS
from rlhf_losses.feedback.base import Row


class Native(Adapter):
    """Rows as they are: pairs, labels and steps as TRL writes them, and rankings, ratings and votes.

    TRL calls the first three preference, unpaired preference and stepwise supervision.
    """

    columns = tuple(way for kind in KINDS for way in kind.columns)
    source = "https://huggingface.co/docs/trl/dataset_formats"

    def read(self, row: Row) -> list[Row]:
        return [row]
