"""AttentionOptions the batches of a run are cut into forward and backward passes."""

from rlhf_losses.data import ForwardPassSplitter, default_splitter
from rlhf_losses.losses import Loss
from rlhf_losses.training.config import RewardConfig
from rlhf_losses.training.whole_step import is_batchwide


def choose_splitter(args: RewardConfig, loss: Loss, sharded: bool) -> ForwardPassSplitter | None:
    """Return the cut that is asked for, or that of the device.

    A model in parts needs as many passes in every process, and a batch-wide loss scores a step of several passes twice,
    so their batches stay whole.
    """
    if args.max_tokens_per_forward is not None:
        return ForwardPassSplitter(args.max_tokens_per_forward)
    return None if sharded or is_batchwide(loss) else default_splitter(args.device)
