"""From data rows to tensors: rendering, tokens, batches and the padded layout."""

from rlhf_losses.batching.collator import Batch, Collator
from rlhf_losses.batching.dataset import Limit, check_dataset, kinds_read, prepare
from rlhf_losses.batching.rows import RowReader

__all__ = ["Batch", "Collator", "Limit", "RowReader", "check_dataset", "kinds_read", "prepare"]
