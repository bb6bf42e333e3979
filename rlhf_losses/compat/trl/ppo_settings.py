"""The settings of TRL's `PPOConfig`, and what they are in `rlhf_losses.PPOConfig`.

TRL counts steps in rollouts, this package in optimizer steps: a rollout has `num_ppo_epochs * num_mini_batches` of
them.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rlhf_losses.compat.trl.translated_setting import Kind, TranslatedSetting, refuse_settings
from rlhf_losses.errors import InvalidSettingError

_COMPUTED = "TRL's trainer computes it and replaces a given value. Omit it"
_OPTIMIZER_STEPS = "Counts rollouts in TRL, and optimizer steps here; numbers below 1 are shares of the run in both."
_CRITIC_RATE = "Of the policy. The critic has critic_learning_rate_ratio times as much, 10 by default."
_ONE_ADAPTER = (
    "The policy has one adapter here, and its reference is the policy at the start of the run. Load that adapter "
    "alone, under the name 'default', or pass the model without adapters and peft_config."
)
_OLD_API = "It belongs to TRL below 0.12, whose PPOTrainer had a method step and no train. "

PPO_SETTINGS = (
    TranslatedSetting("response_length", Kind.RENAMED, ("max_completion_length",), default=53),
    TranslatedSetting("num_ppo_epochs", Kind.RENAMED, ("num_iterations",), default=4),
    TranslatedSetting("cliprange", Kind.RENAMED, ("epsilon",), default=0.2),
    TranslatedSetting(
        "kl_coef", Kind.RENAMED, ("beta",),
        "In units of the scores, so scores are not normalized: score_normalization='none'.", 0.05,
    ),
    TranslatedSetting("exp_name", Kind.RENAMED, ("run_name",), "TRL 0.12 to 0.24."),
    TranslatedSetting(
        "total_episodes", Kind.COUNTED, ("max_steps",),
        "Number of completions: max_steps is the number of rollouts times the optimizer steps of a rollout.",
    ),
    TranslatedSetting(
        "num_train_epochs", Kind.COUNTED, ("max_steps",), "Times the number of prompts, if total_episodes is None.", 3.0
    ),
    TranslatedSetting(
        "num_mini_batches", Kind.COUNTED,
        ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation"),
        "Number of optimizer steps of an epoch. TRL 1.12 makes one in any case.", 1,
    ),
    TranslatedSetting(
        "per_device_train_batch_size", Kind.COUNTED, ("per_device_train_batch_size",),
        "Completions of a forward pass; fewer where a mini-batch has fewer.", 8,
    ),
    TranslatedSetting(
        "gradient_accumulation_steps", Kind.COUNTED, ("steps_per_generation",),
        "Forward passes of a rollout in TRL; here steps_per_generation.", 1,
    ),
    TranslatedSetting(
        "logging_steps", Kind.COUNTED, ("logging_steps",),
        f"{_OPTIMIZER_STEPS} TRL 1.12 logs every rollout whatever it is, so the default is 1.", 1,
    ),
    TranslatedSetting("save_steps", Kind.COUNTED, ("save_steps",), _OPTIMIZER_STEPS, 500),
    TranslatedSetting("eval_steps", Kind.COUNTED, ("eval_steps",), _OPTIMIZER_STEPS),
    TranslatedSetting("warmup_steps", Kind.COUNTED, ("warmup_steps",), _OPTIMIZER_STEPS, 0),
    TranslatedSetting("vf_coef", Kind.SAME, ("vf_coef",), default=0.1),
    TranslatedSetting("cliprange_value", Kind.SAME, ("cliprange_value",), default=0.2),
    TranslatedSetting("gamma", Kind.SAME, ("gamma",), default=1.0),
    TranslatedSetting(
        "lam", Kind.SAME, ("lam",), "Of the advantages. The targets of the critic have value_lam, 1 by default.", 0.95
    ),
    TranslatedSetting("kl_estimator", Kind.SAME, ("kl_estimator",), default="k1"),
    TranslatedSetting("temperature", Kind.SAME, ("temperature",), default=0.7),
    TranslatedSetting("whiten_rewards", Kind.SAME, ("whiten_rewards",), "Over all processes.", False),
    TranslatedSetting(
        "missing_eos_penalty", Kind.SAME, ("missing_eos_penalty",),
        "For a completion that does not end with EOS or the stop token.",
    ),
    TranslatedSetting("learning_rate", Kind.SAME, ("learning_rate",), _CRITIC_RATE, 3e-6),
    TranslatedSetting("push_to_hub", Kind.SAME, ("push_to_hub",), default=False),
    TranslatedSetting(
        "ds3_gather_for_generation", Kind.SAME, ("ds3_gather_for_generation",), "DeepSpeed is refused here.", True
    ),
    TranslatedSetting("max_grad_norm", Kind.SAME, ("max_grad_norm",), "TRL 1.12 does not clip gradients.", 1.0),
    TranslatedSetting(
        "eval_strategy", Kind.SAME, ("eval_strategy",), "TRL 1.12 has no evaluation; here metrics are logged.", "no"
    ),
    TranslatedSetting(
        "stop_token", Kind.TRAINER, (),
        "The generation config of the policy. None is 'eos' here: a completion ends with EOS in any case.",
    ),
    TranslatedSetting("stop_token_id", Kind.TRAINER, (), "The generation config of the policy."),
    TranslatedSetting(
        "local_rollout_forward_batch_size", Kind.TRAINER, (),
        "Texts of a forward pass of the reward model; those of the other models have per_device_train_batch_size.", 64,
    ),
    TranslatedSetting(
        "num_sample_generations", Kind.TRAINER, (),
        "Number of tables of completions of the evaluation data during the training.", 10,
    ),
    TranslatedSetting("dataset_num_proc", Kind.TRAINER, (), "Processes that read the prompts."),
    TranslatedSetting("sft_model_path", Kind.SCRIPT, (), default="EleutherAI/pythia-160m"),
    TranslatedSetting("reward_model_path", Kind.SCRIPT, (), default="EleutherAI/pythia-160m"),
    TranslatedSetting(
        "max_steps", Kind.REFUSED, (), "TRL's PPO trainer does not read it. Set total_episodes or num_train_epochs.", -1
    ),
    TranslatedSetting("model_adapter_name", Kind.REFUSED, (), _ONE_ADAPTER),
    TranslatedSetting("ref_adapter_name", Kind.REFUSED, (), _ONE_ADAPTER),
    *(
        TranslatedSetting(name, Kind.REFUSED, (), f"{_COMPUTED}{remedy}.")
        for name, remedy in {
            "world_size": ": the launcher sets the number of processes",
            "num_total_batches": ", and set total_episodes",
            "batch_size": ", and set per_device_train_batch_size and gradient_accumulation_steps",
            "local_batch_size": ", and set per_device_train_batch_size and gradient_accumulation_steps",
            "micro_batch_size": ", and set per_device_train_batch_size",
            "mini_batch_size": ", and set num_mini_batches",
            "local_mini_batch_size": ", and set num_mini_batches",
        }.items()
    ),
    *(
        TranslatedSetting(name, Kind.REFUSED, (), f"{_OLD_API}{remedy}")
        for name, remedy in {
            "steps": "Set total_episodes.",
            "ppo_epochs": "Set num_ppo_epochs.",
            "init_kl_coef": "Set kl_coef.",
            "adap_kl_ctrl": "The coefficient is fixed, unless rlhf_losses.PPOConfig has kl_target.",
            "target": "Use kl_target of rlhf_losses.PPOConfig.",
            "horizon": "Use kl_horizon of rlhf_losses.PPOConfig.",
            "target_kl": "Use early_stop_kl of rlhf_losses.PPOConfig.",
            "use_score_scaling": "Use score_normalization='running' of rlhf_losses.PPOConfig.",
            "use_score_norm": "Use score_normalization='running' of rlhf_losses.PPOConfig.",
            "score_clip": "Use score_clip of rlhf_losses.PPOConfig.",
            "log_with": "Set report_to.",
        }.items()
    ),
)  # fmt: skip
"""All settings of TRL's `PPOConfig`, and those of `TrainingArguments` that have another meaning in it."""

STEP_SETTINGS = ("logging_steps", "save_steps", "eval_steps", "warmup_steps")
"""Settings that count rollouts in TRL and optimizer steps here."""

ALWAYS: Mapping[str, Any] = {
    "score_normalization": "none",
    "score_truncated_with_eos": False,
}
"""Settings of this package that keep the meaning of TRL's settings; what TRL has no setting for has its default."""


def translate_ppo_settings(
    settings: Mapping[str, Any], num_prompts: int | None = None, num_processes: int = 1
) -> dict[str, Any]:
    """Return the settings of `rlhf_losses.PPOConfig` for those of TRL's `PPOConfig`.

    Args:
        settings: values by name in TRL; missing ones have TRL's defaults.
        num_prompts: number of prompts of the training data; needed unless `total_episodes` is set.
        num_processes: number of processes of the run.

    Raises:
        InvalidSettingError: a setting is refused, or two settings do not fit together.

    Examples:
        >>> translated = translate_ppo_settings({"total_episodes": 80, "num_mini_batches": 2, "kl_coef": 0.1})
        >>> translated["beta"], translated["max_steps"], translated["per_device_train_batch_size"]
        (0.1, 80, 4)
    """
    refuse_settings(settings, PPO_SETTINGS)
    full = {one.name: settings.get(one.name, one.default) for one in PPO_SETTINGS}
    one_to_one = {one.here[0]: full[one.name] for one in PPO_SETTINGS if one.kind in (Kind.SAME, Kind.RENAMED)}
    one_to_one["run_name"] = settings.get("run_name") or full["exp_name"]
    return {**one_to_one, **_batches(full), **_steps(full, num_prompts, num_processes), **ALWAYS}


def _batches(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes of forward passes, optimizer steps and rollouts."""
    rollout, parts = _rollout_size(settings), settings["num_mini_batches"]
    if parts < 1 or rollout % parts:
        raise InvalidSettingError(
            f"num_mini_batches={parts} does not divide the {rollout} completions of a rollout, which is "
            "per_device_train_batch_size times gradient_accumulation_steps. Choose a divisor."
        )
    mini_batch = rollout // parts
    size = next(size for size in _downwards(settings["per_device_train_batch_size"]) if mini_batch % size == 0)
    return {
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": mini_batch // size,
        "steps_per_generation": rollout // size,
    }


def _steps(settings: Mapping[str, Any], num_prompts: int | None, num_processes: int) -> dict[str, Any]:
    """Return the settings that count optimizer steps."""
    episodes = settings["total_episodes"]
    if episodes is None:
        if num_prompts is None:
            raise InvalidSettingError(
                "total_episodes is None and the number of prompts is unknown, so the run would not end. Set "
                "total_episodes."
            )
        episodes = int(settings["num_train_epochs"] * num_prompts)
    per_rollout = settings["num_ppo_epochs"] * settings["num_mini_batches"]
    rollouts = math.ceil(episodes / (_rollout_size(settings) * num_processes))
    counted = {name: settings[name] for name in STEP_SETTINGS}
    steps = {name: int(n * per_rollout) if n is not None and n >= 1 else n for name, n in counted.items()}
    return {"max_steps": rollouts * per_rollout, **steps}


def _rollout_size(settings: Mapping[str, Any]) -> int:
    """Return the completions of a rollout in one process."""
    return int(settings["per_device_train_batch_size"] * settings["gradient_accumulation_steps"])


def _downwards(size: int) -> Iterator[int]:
    return iter(range(size, 0, -1))
