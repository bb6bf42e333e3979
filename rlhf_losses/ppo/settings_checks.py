"""What must hold before a policy is trained; most of it is checked before anything is loaded."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
import trl
from accelerate.utils import is_peft_model
from transformers import AutoConfig, PreTrainedModel
from trl.trainer.utils import get_config_model_id

from rlhf_losses.errors import FeedbackMismatchError, InvalidSettingError, UnsupportedModelError
from rlhf_losses.ppo.config import PPOConfig


def short_name(model: Any) -> str:
    """Return the last part of the path that a model is from."""
    path = model if isinstance(model, str) else get_config_model_id(model.config)
    return path.rstrip("/").split("/")[-1]


def require_settings(args: PPOConfig, reward_funcs: Any, others: Mapping[str, Any]) -> None:
    """Raise `InvalidSettingError` for a configuration of GRPO, a run without rewards, and a schedule made elsewhere."""
    if not isinstance(args, PPOConfig):
        raise InvalidSettingError(
            f"args is a {type(args).__name__}, which has no settings for a critic. "
            "Make it a rlhf_losses.PPOConfig; it takes the same arguments."
        )
    if not reward_funcs and not others.get("environment_factory"):
        raise InvalidSettingError(
            "No reward function arrived, so there is nothing to improve on. "
            "Set reward_funcs to a Scorer, to a function of prompts and completions, or to a list of them."
        )
    if others.get("optimizers", (None, None))[1] is not None:
        raise InvalidSettingError(
            "A learning-rate schedule arrived in optimizers, made before there was a critic to train. "
            "Leave it out and choose with lr_scheduler_type; an optimizer alone is fine."
        )


def require_writer(model: Any, args: PPOConfig) -> None:
    """Raise `UnsupportedModelError` for a policy that cannot write a text, or that reads its prompt apart from it."""
    trust = {"trust_remote_code": args.trust_remote_code}
    config = AutoConfig.from_pretrained(model, **trust) if isinstance(model, str) else model.config
    name = (config.architectures or [""])[0] if isinstance(model, str) else type(model).__name__
    kind: Any = getattr(transformers, name, None) if isinstance(model, str) else model
    if config.is_encoder_decoder:
        arrived = f"The policy is a {name or config.model_type}, which reads its prompt apart from what it writes"
    elif hasattr(kind, "can_generate") and not kind.can_generate():
        arrived = f"The policy is a {name}, which cannot write a text"
    else:
        return
    raise UnsupportedModelError(
        f"{arrived}, so PPO has nothing to improve. Give a language model, like Qwen/Qwen3-0.6B."
    )


def require_prompts(datasets: Iterable[Any], others: Mapping[str, Any]) -> None:
    """Raise `FeedbackMismatchError` for data without a column `prompt`, where no environment makes the prompts."""
    if others.get("environment_factory"):
        return
    for data in datasets:
        if isinstance(data, dict):
            require_prompts(data.values(), others)
            continue
        columns = getattr(data, "column_names", None)
        if columns is not None and "prompt" not in columns:
            raise FeedbackMismatchError(
                f"The data have the columns {', '.join(columns)} and no prompt, so there is nothing to complete. "
                'Rename one: dataset.rename_column("question", "prompt").'
            )


def require_mix(args: PPOConfig, texts: Any) -> None:
    """Raise `InvalidSettingError` for pretraining texts without a weight, and for a weight without texts."""
    if texts is not None and args.ptx_coef is None:
        raise InvalidSettingError(
            "A pretraining_dataset arrived without ptx_coef, so nothing says how much its loss weighs. "
            "Set ptx_coef in PPOConfig, to 0 for logging it only, or leave the dataset out."
        )
    if texts is None and args.ptx_coef is not None:
        raise InvalidSettingError(
            f"ptx_coef={args.ptx_coef} arrived without texts, so there is nothing that it weighs. "
            "ForwardPass pretraining_dataset=DATASET with a column text, or leave ptx_coef out."
        )


def require_one_critic(critic: str | PreTrainedModel | None, args: PPOConfig) -> None:
    """Raise `InvalidSettingError` where a critic is given, and the policy is to be its own."""
    if critic is not None and args.shared_critic:
        raise InvalidSettingError(
            "A critic arrived together with shared_critic=True, which makes the critic a head on the policy itself. "
            "Leave one of them out."
        )


def require_one_value(critic: str | PreTrainedModel | None) -> None:
    """Raise `UnsupportedModelError` for a critic that gives several numbers a token, or words."""
    if critic is None or _is_adapter(critic):
        return
    config = AutoConfig.from_pretrained(critic) if isinstance(critic, str) else critic.config
    if config.num_labels == 1:
        return
    kind = (config.architectures or [""])[0] if isinstance(critic, str) else type(critic).__name__
    classifies = not kind or "ForSequenceClassification" in kind
    raise UnsupportedModelError(
        f"The critic {f'has num_labels={config.num_labels}' if classifies else f'is a {kind} and gives no score'}, but "
        "the value of a state is one number. Give a reward model with num_labels=1, as rlhf-losses train saves one, or "
        "leave the critic out to start from the reward model or from the policy."
    )


def _is_adapter(critic: str | PreTrainedModel) -> bool:
    """Return whether `critic` is the folder of a LoRA adapter, which is always loaded with one label."""
    return isinstance(critic, str) and Path(critic, "adapter_config.json").is_file()


def require_reference(model: Any, args: PPOConfig, others: Mapping[str, Any]) -> None:
    """Raise `UnsupportedModelError` where the KL penalty needs a reference and there is no path to load it from."""
    if isinstance(model, str) or is_peft_model(model) or others.get("peft_config") or not args.beta:
        return
    if not get_config_model_id(model.config):
        raise UnsupportedModelError(
            "The policy was made in memory and has no path, but the reference of the KL penalty is loaded from there. "
            "Save it with model.save_pretrained(folder) and give the folder, or train adapters with peft_config."
        )


def require_same_start(policy: PreTrainedModel, reference: PreTrainedModel) -> None:
    """Raise `UnsupportedModelError` for a policy that was changed in memory since it was loaded.

    TRL loads the reference from the path that the policy was once loaded from.
    """
    weights = dict(reference.named_parameters())
    for name, weight in policy.named_parameters():
        if name not in weights or not torch.equal(weight, weights[name].to(weight)):
            raise UnsupportedModelError(
                f"The policy has other weights than '{get_config_model_id(policy.config)}', from where its "
                f"reference is loaded (the first is {name}), so the KL penalty would pull it back there. "
                "Save it with model.save_pretrained(folder) and give the folder as model."
            )


def require_reach(trainer: trl.GRPOTrainer) -> None:
    """Raise `UnsupportedModelError` or `InvalidSettingError` where the critic cannot follow the policy."""
    if trainer._is_vlm:
        raise UnsupportedModelError(
            "This policy reads images, and the critic reads text only. Train it with trl.GRPOTrainer, "
            "which needs no critic."
        )
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        raise InvalidSettingError(
            "DeepSpeed or FSDP is on, and both split one model, while PPO trains two. "
            "Run on one device or with plain data parallelism: accelerate launch --multi_gpu."
        )
