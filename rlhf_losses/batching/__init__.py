"""From data rows to tensors: rendering, tokens and batches."""

from rlhf_losses.batching.collator import Batch, Collator, Pass
from rlhf_losses.batching.cut import Cut, default_cut
from rlhf_losses.batching.dataset import Limit, check_dataset, kinds_read, prepare
from rlhf_losses.batching.rows import RowReader

__all__ = [
    "Batch", "Collator", "Cut", "Limit", "Pass", "RowReader", "check_dataset", "default_cut", "kinds_read", "prepare",
]  # fmt: skip
