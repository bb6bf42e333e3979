"""How the batches of a run are cut into forward and backward passes."""

from rlhf_losses.batching import Cut, default_cut
from rlhf_losses.losses import Loss
from rlhf_losses.training.config import RewardConfig
from rlhf_losses.training.whole_step import is_batchwide


def choose_cut(args: RewardConfig, loss: Loss, sharded: bool) -> Cut | None:
    """Return the cut that is asked for, or that of the device.

    A model in parts needs as many passes in every process, and a batch-wide loss scores a step of several passes twice,
    so their batches stay whole.
    """
    if args.tokens_per_pass is not None:
        return Cut(args.tokens_per_pass)
    return None if sharded or is_batchwide(loss) else default_cut(args.device)
