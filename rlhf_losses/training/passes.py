"""How the batches of a run are cut into forward and backward passes."""

from rlhf_losses.batching import Cut
from rlhf_losses.losses import Loss
from rlhf_losses.training.config import RewardConfig
from rlhf_losses.training.whole_step import is_batchwide

CPU_PASS = Cut(tokens=2048, repeated=1 / 8)
"""On a CPU a larger pass is no faster, and its activations are memory that the system hands out page by page, time
and again; on a GPU a larger pass is faster, and its memory is kept."""


def choose_cut(args: RewardConfig, loss: Loss, sharded: bool) -> Cut | None:
    """Return the cut that is asked for or, on a CPU, one that saves memory and computes next to nothing twice.

    A model in parts needs as many passes in every process, and a batch-wide loss scores a step of several passes twice,
    so their batches stay whole.
    """
    if args.tokens_per_pass is not None:
        return Cut(args.tokens_per_pass)
    if args.device.type != "cpu" or sharded or is_batchwide(loss):
        return None
    return CPU_PASS
