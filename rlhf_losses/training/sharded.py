"""What cannot be done where FSDP or DeepSpeed keep a part of the model in each process."""

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.losses import Loss
from rlhf_losses.training.config import RewardConfig


def require_possible(args: RewardConfig, loss: Loss, sharded: bool, states_arrived: bool) -> None:
    """Raise `InvalidSettingError` for settings that a model in parts, or a compiled one, cannot follow."""
    if (args.hidden_state_cache_gib or states_arrived) and (sharded or args.torch_compile):
        told = (
            f"hidden_state_cache_gib={args.hidden_state_cache_gib}"
            if args.hidden_state_cache_gib
            else "hidden_state_cache"
        )
        raise InvalidSettingError(
            f"{told} lets layers rest, which FSDP, DeepSpeed and "
            "torch.compile do not expect. Leave it out, or train without them."
        )
    if not sharded:
        return
    if args.max_tokens_per_forward is not None:
        raise InvalidSettingError(
            f"max_tokens_per_forward={args.max_tokens_per_forward} cuts the batches of each process on its own, but FSDP "
            "and DeepSpeed need as many forward passes in every process. Leave it out, and set "
            "per_device_train_batch_size and gradient_accumulation_steps."
        )
    learned = [name for term in loss.terms for name in term.loss.loss_parameters]
    if learned:
        raise InvalidSettingError(
            f"{loss} learns {', '.join(learned)} beside the model, where FSDP and DeepSpeed look for "
            "no parameters. Train without them, or give the number: 'rao_kupper(tie_width=1.0)'."
        )
