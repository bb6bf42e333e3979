"""What cannot be done where FSDP or DeepSpeed keep a part of the model in each process."""

from rlhf_losses.errors import UnusableSetting
from rlhf_losses.losses import Loss
from rlhf_losses.training.config import RewardConfig


def require_possible(args: RewardConfig, loss: Loss, sharded: bool, states_arrived: bool) -> None:
    """Raise `UnusableSetting` for settings that a model in parts, or a compiled one, cannot follow."""
    if (args.frozen_cache_gib or states_arrived) and (sharded or args.torch_compile):
        told = f"frozen_cache_gib={args.frozen_cache_gib}" if args.frozen_cache_gib else "frozen_states"
        raise UnusableSetting(
            f"{told} lets layers rest, which FSDP, DeepSpeed and "
            "torch.compile do not expect. Leave it out, or train without them."
        )
    if not sharded:
        return
    if args.tokens_per_pass is not None:
        raise UnusableSetting(
            f"tokens_per_pass={args.tokens_per_pass} cuts the batches of each process on its own, but FSDP "
            "and DeepSpeed need as many forward passes in every process. Leave it out, and set "
            "per_device_train_batch_size and gradient_accumulation_steps."
        )
    learned = [name for term in loss.terms for name in term.loss.learned]
    if learned:
        raise UnusableSetting(
            f"{loss} learns {', '.join(learned)} beside the model, where FSDP and DeepSpeed look for "
            "no parameters. Train without them, or give the number: 'rao_kupper(tie_width=1.0)'."
        )
