"""Whole models in a run with FSDP or DeepSpeed, where each process has a part of the weights of the trained model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType, patch_environment
from peft import PeftModel, get_peft_model
from peft.utils.integrations import gather_params_ctx
from torch import Tensor, nn
from transformers.integrations import deepspeed as deepspeed_integration

from rlhf_losses.errors import InvalidSettingError


@contextmanager
def load_whole() -> Iterator[None]:
    """While the context lasts, `from_pretrained` loads all weights in every process.

    Otherwise it divides them over the processes with ZeRO-3, and reads them in the first process only with FSDP and
    `cpu_ram_efficient_loading`.
    """
    settings = deepspeed_integration._hf_deepspeed_config_weak_ref
    deepspeed_integration.unset_hf_deepspeed_config()
    try:
        with patch_environment(FSDP_CPU_RAM_EFFICIENT_LOADING="false"):
            yield
    finally:
        deepspeed_integration._hf_deepspeed_config_weak_ref = settings


def gather_weights(model: nn.Module, accelerator: Accelerator) -> dict[str, Tensor]:
    """Return the whole weights of a model in the main process. All processes call this function together.

    Args:
        model: the trained model, without wrappers of data parallelism and DeepSpeed.
        accelerator: the processes.
    """
    if accelerator.distributed_type == DistributedType.FSDP:
        gathered: dict[str, Tensor] = accelerator.get_state_dict(model)
        return gathered
    weights = {}
    for name, weight in model.state_dict(keep_vars=True).items():
        with gather_params_ctx(weight):
            if accelerator.is_main_process:
                weights[name] = weight.detach().cpu().clone()
    return weights


def whole_copy(model: Any, weights: dict[str, Tensor]) -> Any:
    """Return a model on the CPU with the architecture of another one, and with given weights.

    Args:
        model: a transformers model, bare or wrapped by PEFT, whose weights are distributed over processes.
        weights: its whole weights, see `gather_weights`.

    Raises:
        InvalidSettingError: the model is quantized.
    """
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    if getattr(base, "is_quantized", False):
        raise InvalidSettingError(
            "The weights are quantized and distributed over processes, so adapters cannot be merged into them. Save "
            "the adapters with trainer.save_model(FOLDER), and merge them in one process."
        )
    with load_whole():
        copy = type(base)(base.config)
        if isinstance(model, PeftModel):
            copy = get_peft_model(copy, model.peft_config[model.active_adapter], adapter_name=model.active_adapter)
    copy.load_state_dict(weights, assign=True)
    return copy
