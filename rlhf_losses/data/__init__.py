"""From data rows to tensors: rendering, tokens and batches."""

from rlhf_losses.data.collator import Batch, Collator, ForwardPass
from rlhf_losses.data.dataset import Limit, check_dataset, prepare, required_feedback_types
from rlhf_losses.data.rows import RowReader
from rlhf_losses.layouts.splitting import ForwardPassSplitter, default_splitter

__all__ = [
    "Batch", "Collator", "ForwardPassSplitter", "Limit", "ForwardPass", "RowReader", "check_dataset", "default_splitter", "required_feedback_types", "prepare",
]  # fmt: skip
