"""OpenRLHF: `train_rm` and `train_ppo_ray`, with the dotted names of 0.11 and the names of earlier versions."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlhf_losses.migrate.rules import (
    Constant,
    Decision,
    Joint,
    Rule,
    System,
    Unavailable,
    Unneeded,
    Values,
    Written,
    choice,
    each,
    to,
    to_several,
)
from rlhf_losses.migrate.systems.training_arguments import HARDWARE, LAUNCHER, SPEED

OFF = Unneeded("it is off here too")

DATA_COPY = "Change the data themselves, for example with datasets.Dataset.map"

OLD_NAMES = {
    "ckpt.output_dir": "save_path",
    "ckpt.save_steps": "save_steps",
    "ckpt.save_hf": "save_hf_ckpt",
    "ckpt.disable_ds": "disable_ds_ckpt",
    "logger.logging_steps": "logging_steps",
    "eval.steps": "eval_steps",
    "ckpt.path": "ckpt_path",
    "ckpt.max_num": "max_ckpt_num",
    "ckpt.max_mem": "max_ckpt_mem",
    "ckpt.load_enable": "load_checkpoint",
    "ds.use_universal_ckpt": "use_ds_universal_ckpt",
    "ds.deepcompile": "deepcompile",
    "train.seed": "seed",
    "train.full_determinism_enable": "full_determinism",
    "ds.zero_stage": "zero_stage",
    "ds.param_dtype": "param_dtype",
    "ds.zpg": "zpg",
    "ds.adam_offload": "adam_offload",
    "ds.attn_implementation": "attn_implementation",
    "ds.experts_implementation": "experts_implementation",
    "ds.grad_accum_dtype": "grad_accum_dtype",
    "ds.overlap_comm": "overlap_comm",
    "data.disable_fast_tokenizer": "disable_fast_tokenizer",
    "data.dataloader_num_workers": "dataloader_num_workers",
    "ds.tensor_parallel_size": "ds_tensor_parallel_size",
    "ds.value_head_prefix": "value_head_prefix",
    "ds.ring_attn_size": "ring_attn_size",
    "ds.ring_attn_head_stride": "ring_head_stride",
    "ds.load_in_4bit": "load_in_4bit",
    "ds.lora.rank": "lora_rank",
    "ds.lora.alpha": "lora_alpha",
    "ds.lora.dropout": "lora_dropout",
    "ds.lora.target_modules": "target_modules",
    "train.max_epochs": "max_epochs",
    "train.micro_batch_size": "micro_train_batch_size",
    "train.batch_size": "train_batch_size",
    "ds.packing_samples": "packing_samples",
    "data.max_samples": "max_samples",
    "data.max_len": "max_len",
    "data.input_template": "input_template",
    "data.apply_chat_template": "apply_chat_template",
    "eval.dataset": "eval_dataset",
    "eval.split": "eval_split",
    "logger.wandb.key": "use_wandb",
    "logger.wandb.org": "wandb_org",
    "logger.wandb.group": "wandb_group",
    "logger.wandb.project": "wandb_project",
    "logger.wandb.run_name": "wandb_run_name",
    "logger.tensorboard_dir": "use_tensorboard",
}
"""Names of both commands, and what they were before 0.11."""

OLD_RM_NAMES = {
    **OLD_NAMES,
    "model.model_name_or_path": "pretrain",
    "model.gradient_checkpointing_enable": "gradient_checkpointing",
    "model.gradient_checkpointing_reentrant": "gradient_checkpointing_use_reentrant",
    "model.aux_loss_coef": "aux_loss_coef",
    "model.compute_fp32_loss_enable": "compute_fp32_loss",
    "model.margin_loss_enable": "margin_loss",
    "model.loss_type": "loss",
    "adam.lr": "learning_rate",
    "adam.betas": "adam_betas",
    "adam.weight_decay": "l2",
    "lr_scheduler": "lr_scheduler",
    "lr_warmup_ratio": "lr_warmup_ratio",
    "max_norm": "max_norm",
    "data.dataset": "dataset",
    "data.dataset_probs": "dataset_probs",
    "data.dataset_split": "dataset_split",
    "data.prompt_key": "prompt_key",
    "data.chosen_key": "chosen_key",
    "data.rejected_key": "rejected_key",
    "data.tokenizer_chat_template": "tokenizer_chat_template",
}

OLD_PPO_NAMES = {
    **OLD_NAMES,
    "ckpt.best_metric_key": "best_metric_key",
    "ds.use_liger_kernel": "use_liger_kernel",
    "ref.num_nodes": "ref_num_nodes",
    "ref.num_gpus_per_node": "ref_num_gpus_per_node",
    "reward.num_nodes": "reward_num_nodes",
    "reward.num_gpus_per_node": "reward_num_gpus_per_node",
    "train.colocate_actor_ref": "colocate_actor_ref",
    "actor.num_nodes": "actor_num_nodes",
    "actor.num_gpus_per_node": "actor_num_gpus_per_node",
    "critic.num_nodes": "critic_num_nodes",
    "critic.num_gpus_per_node": "critic_num_gpus_per_node",
    "train.colocate_critic_reward": "colocate_critic_reward",
    "train.colocate_all": "colocate_all_models",
    "vllm.num_engines": "vllm_num_engines",
    "vllm.tensor_parallel_size": "vllm_tensor_parallel_size",
    "vllm.sync_backend": "vllm_sync_backend",
    "vllm.sync_with_ray": "vllm_sync_with_ray",
    "vllm.enable_prefix_caching": "enable_prefix_caching",
    "vllm.enforce_eager": "enforce_eager",
    "vllm.enable_sleep": "vllm_enable_sleep",
    "vllm.gpu_memory_utilization": "vllm_gpu_memory_utilization",
    "train.async_enable": "async_train",
    "train.async_queue_size": "async_queue_size",
    "train.partial_rollout_enable": "partial_rollout",
    "actor.gradient_checkpointing_enable": "gradient_checkpointing",
    "actor.gradient_checkpointing_reentrant": "gradient_checkpointing_use_reentrant",
    "train.enable_ema": "enable_ema",
    "train.ema_beta": "ema_beta",
    "ds.enable_sleep": "deepspeed_enable_sleep",
    "train.dynamic_batch_enable": "use_dynamic_batch",
    "rollout.max_tokens_per_gpu": "rollout_max_tokens_per_gpu",
    "train.max_tokens_per_gpu": "train_max_tokens_per_gpu",
    "train.num_episodes": "num_episodes",
    "rollout.batch_size": "rollout_batch_size",
    "rollout.vllm_generate_batch_size": "vllm_generate_batch_size",
    "rollout.micro_batch_size": "micro_rollout_batch_size",
    "rollout.max_new_tokens": "max_new_tokens",
    "actor.eps_clip": "eps_clip",
    "actor.eps_clip_low_high": "eps_clip_low_high",
    "actor.dual_clip": "dual_clip",
    "critic.value_clip": "value_clip",
    "algo.advantage.lambd": "lambd",
    "algo.advantage.gamma": "gamma",
    "reward.normalize_enable": "normalize_reward",
    "rollout.top_p": "top_p",
    "rollout.temperature": "temperature",
    "critic.freezing_steps": "freezing_actor_steps",
    "rollout.n_samples_per_prompt": "n_samples_per_prompt",
    "critic.save_value_network": "save_value_network",
    "algo.kl.target": "kl_target",
    "algo.kl.horizon": "kl_horizon",
    "algo.kl.init_coef": "init_kl_coef",
    "actor.policy_loss_type": "policy_loss_type",
    "algo.kl.estimator": "kl_estimator",
    "actor.aux_loss_coef": "aux_loss_coef",
    "actor.entropy_coef": "entropy_loss_coef",
    "reward.clip_range": "reward_clip_range",
    "actor.adam.lr": "actor_learning_rate",
    "critic.adam.lr": "critic_learning_rate",
    "actor.adam.betas": "adam_betas",
    "actor.adam.weight_decay": "l2",
    "actor.lr_scheduler": "lr_scheduler",
    "actor.lr_warmup_ratio": "lr_warmup_ratio",
    "actor.max_norm": "max_norm",
    "algo.advantage.estimator": "advantage_estimator",
    "algo.kl.use_loss": "use_kl_loss",
    "algo.advantage.no_std_norm": "no_advantage_std_norm",
    "reward.overlong_buffer_len": "overlong_buffer_len",
    "reward.overlong_penalty_factor": "overlong_penalty_factor",
    "reward.stop_properly_penalty_coef": "stop_properly_penalty_coef",
    "actor.model_name_or_path": "pretrain",
    "reward.model_name_or_path": "reward_pretrain",
    "reward.remote_url": "remote_rm_url",
    "critic.model_name_or_path": "critic_pretrain",
    "ref.offload": "ref_reward_offload",
    "train.agent_func_path": "agent_func_path",
    "data.prompt_dataset": "prompt_data",
    "data.prompt_probs": "prompt_data_probs",
    "data.prompt_split": "prompt_split",
    "eval.temperature": "eval_temperature",
    "eval.n_samples_per_prompt": "eval_n_samples_per_prompt",
    "data.input_key": "input_key",
    "data.label_key": "label_key",
    "algo.dynamic_filtering_enable": "dynamic_filtering",
    "algo.dynamic_filtering_range": "dynamic_filtering_reward_range",
    "data.image_key": "image_key",
    "data.max_images_per_prompt": "max_images_per_prompt",
    "actor.freeze_visual_encoder": "freeze_visual_encoder",
}


def _steps_or_never(strategy: str, steps: str) -> Rule:
    """Return the rule of a number of steps of which -1 means never."""
    return Written(
        (strategy, steps), lambda number: {strategy: "steps", steps: number} if number > 0 else {strategy: "no"}
    )


def _datasets(value: str) -> Any:
    """Return one dataset, or a mixture; `NAME@FOLDER` is a notation of OpenRLHF alone."""
    if "@" in value:
        return Unavailable("NAME@FOLDER is a notation of OpenRLHF", "Set dataset_name to the folder or the file")
    names = value.split(",")
    return {"dataset_name": value} if len(names) == 1 else {"datasets": [{"path": name} for name in names]}


def _use_peft(rank: int) -> dict[str, Any]:
    return {"use_peft": True, "lora_r": rank} if rank else {"use_peft": False}


def _models(value: str) -> Any:
    names = value.split(",")
    return names[0] if len(names) == 1 else names


def _clip(value: list[float]) -> Any:
    low, high = value
    if low != -high:
        return Unavailable("A clip range is symmetric here", "Set score_clip to the smaller limit")
    return high


SHARED: Mapping[str, Rule] = {
    "ckpt.output_dir": to("output_dir"),
    "ckpt.save_steps": _steps_or_never("save_strategy", "save_steps"),
    "eval.steps": _steps_or_never("eval_strategy", "eval_steps"),
    "logger.logging_steps": to("logging_steps"),
    "ckpt.max_num": to("save_total_limit"),
    "train.seed": to("seed"),
    "train.full_determinism_enable": to("full_determinism"),
    "data.dataloader_num_workers": to("dataloader_num_workers"),
    "ds.attn_implementation": Unavailable(
        "layout: auto removes padding with SDPA, without another package",
        "Try attn_implementation on the GPU",
        ("eager",),
    ),
    "ds.load_in_4bit": to("load_in_4bit"),
    "ds.lora.rank": Written(("use_peft", "lora_r"), _use_peft, "0 trains all weights"),
    "ds.lora.alpha": to("lora_alpha"),
    "ds.lora.dropout": to("lora_dropout"),
    "ds.lora.target_modules": to("lora_target_modules"),
    "ds.param_dtype": choice(
        "fp16",
        {"bf16": Unneeded("bf16 is on where the device supports it"), "fp16": True},
        Unavailable("It is bf16 or fp16", "Set bf16 or fp16"),
    ),
    "ds.packing_samples": Unneeded("layout: auto removes padding"),
    "ds.value_head_prefix": choice(
        "",
        {"score": Unneeded("the head has this name")},
        Unavailable("The score head is named score, as transformers has it", "Nothing: OpenRLHF reads score too"),
    ),
    "ckpt.max_mem": Unavailable(
        "A number of checkpoints is kept, not of bytes", "Set save_total_limit", (100000000, 1e8, "inf")
    ),
    "ckpt.path": Unneeded("checkpoints are in output_dir"),
    "ckpt.load_enable": Unavailable(
        "A checkpoint of another trainer cannot be resumed",
        "To resume runs of this package, set resume_from_checkpoint: auto",
    ),
    **each(
        Unneeded("checkpoints and models have the format of transformers"),
        "ckpt.save_hf ckpt.disable_ds ds.use_universal_ckpt",
    ),
    **each(
        LAUNCHER,
        """
            ds.zero_stage ds.zpg ds.adam_offload ds.deepcompile ds.grad_accum_dtype ds.overlap_comm
            ds.tensor_parallel_size ds.ring_attn_size ds.ring_attn_head_stride
        """,
    ),
    "ds.experts_implementation": HARDWARE,
    "ds.use_liger_kernel": SPEED,
    "data.disable_fast_tokenizer": Unneeded("the tokenizer that the model has is loaded"),
    "data.max_samples": Unavailable("All rows are used", DATA_COPY, (1000000, 100000000, 1e8)),
    "data.input_template": Unavailable("Prompts are read as they are", DATA_COPY),
    "data.apply_chat_template": Unneeded(
        "conversations are rendered with the chat template, texts are read as they are"
    ),
    "local_rank": Unneeded("the launcher sets it"),
    "logger.wandb.key": Written(
        ("report_to",),
        lambda value: {"report_to": "wandb"} if value else Unneeded("wandb is off"),
        "Set the environment variable WANDB_API_KEY",
    ),
    "logger.wandb.project": Unavailable("wandb reads it from the environment", "Set WANDB_PROJECT"),
    "logger.wandb.org": Unavailable("wandb reads it from the environment", "Set WANDB_ENTITY"),
    "logger.wandb.group": Unavailable("wandb reads it from the environment", "Set WANDB_RUN_GROUP"),
    "logger.wandb.run_name": to("run_name"),
    "logger.tensorboard_dir": Written(
        ("report_to",),
        lambda value: {"report_to": "tensorboard"} if value else Unneeded("it is off"),
        "Set the environment variable TENSORBOARD_LOGGING_DIR",
    ),
    "use_ms": Unavailable("Models and data come from the Hub or from folders", "Download them, and name the folders"),
    "perf": SPEED,
    "bf16": Unneeded("bf16 is on where the device supports it"),
    "eval.dataset": to("eval_dataset"),
    "eval.split": to("dataset_test_split"),
    "flash_attn": Unneeded("layout: auto removes padding with SDPA"),
}

BATCH = Joint(
    ("per_device_train_batch_size", "gradient_accumulation_steps"),
    "The batch of OpenRLHF is that of all processes; without a number of processes in the script it is that of one",
)

SCHEDULE = Joint(("lr_scheduler_type", "lr_scheduler_kwargs"), "The ratio is an option of the schedule")

RM: Mapping[str, Rule] = {
    **SHARED,
    "model.model_name_or_path": to("model_name_or_path"),
    "model.gradient_checkpointing_enable": to("gradient_checkpointing"),
    "model.gradient_checkpointing_reentrant": to(
        "gradient_checkpointing_kwargs", lambda value: {"use_reentrant": value}
    ),
    "model.loss_type": to("loss", lambda value: "bradley_terry", "sigmoid and logexp are the same function"),
    "model.margin_loss_enable": Unavailable(
        "bradley_terry subtracts the margin of a row in any case",
        "Remove the column margin where it must not count",
        (True,),
    ),
    "model.aux_loss_coef": Unavailable("Reward models have no loss that balances experts", "Leave it out", (0, 0.0)),
    "model.compute_fp32_loss_enable": Unneeded("scores and losses are float32"),
    "train.max_epochs": to("num_train_epochs"),
    **each(BATCH, "train.micro_batch_size train.batch_size"),
    "optim": choice(
        "optim",
        {"adam": "adamw_torch_fused"},
        Unavailable("This optimizer is not one of transformers", "Set optim, for example adafactor"),
    ),
    **each(
        Unneeded("it belongs to the optimizer Muon"),
        "muon.lr muon.momentum muon.ns_steps muon.nesterov muon.no_nesterov",
    ),
    "adam.lr": to("learning_rate"),
    "adam.betas": Written(("adam_beta1", "adam_beta2"), lambda value: {"adam_beta1": value[0], "adam_beta2": value[1]}),
    "adam.eps": to("adam_epsilon"),
    "adam.weight_decay": to("weight_decay"),
    **each(SCHEDULE, "lr_scheduler min_lr_ratio"),
    "lr_warmup_ratio": to("warmup_steps", note="A number below 1 is a share of the steps"),
    "max_norm": to("max_grad_norm"),
    "data.dataset": Written(("dataset_name", "datasets"), _datasets),
    "data.dataset_probs": Unavailable("A mixture of datasets has all rows of each", "Repeat or drop rows of the data"),
    "data.dataset_split": to("dataset_train_split"),
    **each(
        Joint(("columns",), "Columns with other names are renamed"), "data.prompt_key data.chosen_key data.rejected_key"
    ),
    "data.tokenizer_chat_template": Unavailable(
        "The text of a template is not an argument", "Write it to a file, and set chat_template_path to it"
    ),
    "data.max_len": to("max_length", note="Longer rows are dropped, and counted; OpenRLHF truncates them"),
}

CRITIC = Unavailable(
    "Policy and critic have the same optimizer, apart from the learning rate",
    "The value of actor.* is used for both",
    ("adam", [0.9, 0.95], 1e-8, 0, 0.0, "cosine_with_min_lr", 0.03, 0.1, 1.0, 1),
)

VLLM = Unneeded("vLLM has arguments of its own, as in TRL: vllm_*")

PLACEMENT = Unneeded("all models are in each process; with share_base they share their weights")

ROLLOUT = Joint(
    ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation"),
    "OpenRLHF counts the prompts of a rollout and the completions of a step over all processes; without a number of "
    "GPUs in the script they are those of one process",
)

PPO: Mapping[str, Rule] = {
    **SHARED,
    "actor.model_name_or_path": to("model_name_or_path"),
    "reward.model_name_or_path": to("reward_model_name_or_path", _models),
    "reward.remote_url": Unavailable(
        "Another protocol is spoken between rlhf-losses ppo and a server",
        "Set reward_model_name_or_path to the folder of the model, or to the address of rlhf-losses serve",
    ),
    "critic.model_name_or_path": to("critic"),
    "critic.save_value_network": Unneeded("checkpoints contain the critic"),
    "actor.gradient_checkpointing_enable": to("gradient_checkpointing"),
    "actor.gradient_checkpointing_reentrant": to(
        "gradient_checkpointing_kwargs", lambda value: {"use_reentrant": value}
    ),
    **each(
        ROLLOUT, "rollout.batch_size train.batch_size train.micro_batch_size actor.num_nodes actor.num_gpus_per_node"
    ),
    "rollout.n_samples_per_prompt": Joint(("num_generations", "steps_per_generation"), "Completions of a prompt"),
    "train.max_epochs": Joint(("num_iterations",), "Epochs of a rollout"),
    "train.num_episodes": to("num_train_epochs"),
    **each(
        Joint(
            ("max_completion_length",), "Prompt and completion have one limit in OpenRLHF, unless max_new_tokens is set"
        ),
        "rollout.max_new_tokens data.max_len generate_max_len",
    ),
    "prompt_max_len": Unavailable("Prompts that are too long are refused, not truncated", "Drop them from the data"),
    **each(Joint(("epsilon", "epsilon_high"), "Clip range of the ratio"), "actor.eps_clip actor.eps_clip_low_high"),
    "actor.dual_clip": to("delta"),
    "critic.value_clip": to("cliprange_value"),
    "algo.advantage.lambd": to_several("lam", "value_lam", note="OpenRLHF has one factor for advantages and returns"),
    "algo.advantage.gamma": to("gamma"),
    "algo.advantage.estimator": choice(
        "",
        {"gae": Unneeded("it is PPO's estimator")},
        Unavailable(
            "PPO has a critic and GAE", "For other estimators, a Scorer is a reward function of TRL's GRPO and RLOO"
        ),
    ),
    "algo.advantage.no_std_norm": Unavailable(
        "Advantages are shifted and scaled", "Set whiten_advantages: false for neither"
    ),
    **each(
        Unavailable(
            "Ratios are corrected for vLLM as in TRL",
            "Set vllm_importance_sampling_mode and its limits",
            ("off", None, False),
        ),
        "algo.advantage.is_correction_level enable_vllm_is_correction",
    ),
    **each(
        Unneeded("it belongs to the correction for vLLM"),
        """
            algo.advantage.is_correction_mode algo.advantage.is_correction_gating algo.advantage.is_correction_threshold
            vllm_is_truncated_threshold vllm_is_correction_type
        """,
    ),
    "algo.kl.init_coef": to("beta", note="In units of the scores, so score_normalization is none"),
    "algo.kl.target": to("kl_target"),
    "algo.kl.horizon": to("kl_horizon"),
    "algo.kl.estimator": to("kl_estimator"),
    "algo.kl.use_loss": Unavailable(
        "The KL penalty is part of the reward of each token", "Leave it out, or train with TRL's GRPO"
    ),
    "algo.kl.unbiased_gradient": Unneeded("it belongs to algo.kl.use_loss"),
    "actor.policy_loss_type": choice(
        "importance_sampling_level",
        {"ppo": Unneeded("it is the clipped objective"), "gspo": "sequence"},
        Unavailable("It is ppo or gspo", "Set importance_sampling_level"),
    ),
    "actor.loss_agg_mode": choice(
        "loss_type",
        {"token-mean": "dapo", "seq-mean-token-mean": "grpo"},
        Unavailable("This average is unknown", "Set loss_type"),
    ),
    "actor.aux_loss_coef": to("router_aux_loss_coef", lambda value: value or Unneeded("there is no such loss with 0")),
    "actor.entropy_coef": to("entropy_coef", lambda value: value or Unneeded("there is no such loss with 0")),
    "ptx_coef": Unavailable("It needs pretraining texts", "Set ptx_coef together with ptx_dataset"),
    "reward.clip_range": to("score_clip", _clip),
    "reward.normalize_enable": Unavailable(
        "OpenRLHF subtracts the mean that it has saved with the reward model",
        "Set score_normalization: running, or reference_samples to a dataset with the columns prompt and completion",
    ),
    "reward.stop_properly_penalty_coef": to(
        "missing_eos_score",
        lambda value: (
            value
            if value < 0
            else Unavailable("Scores of truncated completions are not multiplied", "Set missing_eos_penalty")
        ),
    ),
    **each(
        Unavailable(
            "There is no penalty that grows with the length",
            "Set missing_eos_penalty, or write a reward function",
            (None, 1, 1.0),
        ),
        "reward.overlong_buffer_len reward.overlong_penalty_factor",
    ),
    "rollout.temperature": to("temperature"),
    "rollout.top_p": to("top_p"),
    **each(
        SPEED,
        """
            rollout.micro_batch_size rollout.vllm_generate_batch_size rollout.max_tokens_per_gpu
            train.max_tokens_per_gpu train.dynamic_batch_enable
        """,
    ),
    "critic.freezing_steps": Joint(("critic_warmup_steps",), "OpenRLHF counts rollouts, this package optimizer steps"),
    "actor.adam.lr": to("learning_rate"),
    "critic.adam.lr": to("critic_learning_rate"),
    "actor.adam.betas": Written(
        ("adam_beta1", "adam_beta2"), lambda value: {"adam_beta1": value[0], "adam_beta2": value[1]}
    ),
    "actor.adam.eps": to("adam_epsilon"),
    "actor.adam.weight_decay": to("weight_decay"),
    "actor.optim": RM["optim"],
    **each(SCHEDULE, "actor.lr_scheduler actor.min_lr_ratio"),
    "actor.lr_warmup_ratio": to("warmup_steps", note="A number below 1 is a share of the steps"),
    "actor.max_norm": to("max_grad_norm", note="Policy and critic are clipped apart"),
    **each(
        CRITIC,
        """
        critic.optim critic.adam.betas critic.adam.eps critic.adam.weight_decay critic.lr_scheduler
        critic.lr_warmup_ratio critic.min_lr_ratio critic.max_norm
        """,
    ),
    **each(
        RM["muon.lr"],
        """
        actor.muon.lr actor.muon.momentum actor.muon.ns_steps actor.muon.nesterov actor.muon.no_nesterov
        critic.muon.lr critic.muon.momentum critic.muon.ns_steps critic.muon.nesterov critic.muon.no_nesterov
        """,
    ),
    **each(
        PLACEMENT,
        """
            ref.num_nodes ref.num_gpus_per_node reward.num_nodes reward.num_gpus_per_node critic.num_nodes
            critic.num_gpus_per_node train.colocate_actor_ref train.colocate_critic_reward train.colocate_all
            ref.offload reward.offload ds.enable_sleep actor_init_on_gpu
        """,
    ),
    "vllm.num_engines": Unavailable(
        "vLLM runs in the training processes or as a server, as in TRL", "Set use_vllm: true", (None, 0)
    ),
    **each(
        VLLM,
        """
            vllm.tensor_parallel_size vllm.sync_backend vllm.sync_with_ray vllm.enable_prefix_caching vllm.enforce_eager
            vllm.enable_sleep vllm.gpu_memory_utilization
        """,
    ),
    **each(
        Unavailable(
            "Rollouts and updates take turns", "Hand the reward model to OpenRLHF: examples/hand_over/openrlhf"
        ),
        "train.async_enable train.partial_rollout_enable",
    ),
    "train.async_queue_size": Unneeded("it belongs to train.async_enable"),
    "train.enable_ema": Unavailable("No average of the weights is kept", "Leave it out"),
    "train.ema_beta": Unneeded("it belongs to train.enable_ema"),
    "train.agent_func_path": Unavailable(
        "A completion has one turn", "Hand the reward model to OpenRLHF: examples/hand_over/openrlhf"
    ),
    "ckpt.best_metric_key": to("metric_for_best_model", lambda name: name or Unneeded("no metric is named")),
    "data.prompt_dataset": RM["data.dataset"],
    "data.prompt_probs": RM["data.dataset_probs"],
    "data.prompt_split": to("dataset_train_split"),
    "data.input_key": Joint(("columns",), "Columns with other names are renamed"),
    "data.label_key": Unavailable(
        "A reward model reads no labels", "Use a reward function in Python, which gets all columns"
    ),
    "eval.temperature": Unavailable("Evaluation has the temperature of the rollouts", "Evaluate the saved policy"),
    "eval.n_samples_per_prompt": to("num_generations_eval"),
    **each(
        Unavailable("All completions are used", "Leave it out: with a critic, a prompt needs no variance of rewards"),
        "algo.dynamic_filtering_enable",
    ),
    "algo.dynamic_filtering_range": Unneeded("it belongs to algo.dynamic_filtering_enable"),
    **each(
        Unavailable(
            "Texts are read, not images", "Train policies that see images with OpenRLHF", (None, 0, "images", False)
        ),
        "data.image_key data.max_images_per_prompt actor.freeze_visual_encoder",
    ),
}


def schedule(values: Values, prefix: str = "") -> Iterator[Decision]:
    """Yield the schedule of the learning rate.

    Args:
        values: the settings.
        prefix: beginning of the names of the settings.
    """
    kind, ratio = f"{prefix}lr_scheduler", f"{prefix}min_lr_ratio"
    yield Decision("lr_scheduler_type", values[kind], (kind,))
    if values[kind] == "cosine_with_min_lr":
        yield Decision("lr_scheduler_kwargs", {"min_lr_rate": values[ratio]}, (ratio,))


def rm_decisions(values: Values) -> Iterator[Decision]:
    """Yield what follows from several settings of `train_rm`.

    Args:
        values: the settings.
    """
    micro, batch = int(values["train.micro_batch_size"]), int(values["train.batch_size"])
    processes = values.processes or 1
    yield Decision("per_device_train_batch_size", micro, ("train.micro_batch_size",))
    yield Decision(
        "gradient_accumulation_steps",
        max(1, batch // (micro * processes)),
        values.sources("train.batch_size", "train.micro_batch_size"),
        f"{batch} pairs a step on {processes} process{'es' if processes > 1 else ''}",
    )
    yield from schedule(values)
    keys = {"prompt": "data.prompt_key", "chosen": "data.chosen_key", "rejected": "data.rejected_key"}
    renamed = {name: values.given[key] for name, key in keys.items() if values.given.get(key) not in (None, name)}
    if renamed:
        sources = tuple(keys[name] for name in renamed)
        yield Decision("columns", ",".join(f"{name}={old}" for name, old in renamed.items()), sources)


def ppo_decisions(values: Values) -> Iterator[Decision]:
    """Yield what follows from several settings of `train_ppo_ray`.

    Args:
        values: the settings.
    """
    gpus = [values.given.get(name) for name in ("actor.num_nodes", "actor.num_gpus_per_node")]
    processes = int(gpus[0] or 1) * int(gpus[1] or 1)
    placement = tuple(name for name in ("actor.num_nodes", "actor.num_gpus_per_node") if name in values.given)
    micro, batch, samples = (
        int(values[name]) for name in ("train.micro_batch_size", "train.batch_size", "rollout.n_samples_per_prompt")
    )
    rollout = int(values["rollout.batch_size"]) * samples
    per_pass = micro * processes
    on = f"on {processes} process{'es' if processes > 1 else ''}"
    yield Decision("per_device_train_batch_size", micro, ("train.micro_batch_size",))
    yield Decision(
        "gradient_accumulation_steps",
        max(1, batch // per_pass),
        ("train.batch_size", *placement),
        f"{batch} completions a step {on}",
    )
    yield Decision(
        "steps_per_generation",
        max(1, rollout // per_pass),
        ("rollout.batch_size", *placement),
        f"{rollout} completions a rollout {on}",
    )
    yield Decision("num_generations", samples, ("rollout.n_samples_per_prompt",))
    yield Decision("num_iterations", int(values["train.max_epochs"]), ("train.max_epochs",))
    freezing = values.given.get("critic.freezing_steps")
    if freezing is not None and freezing > 0:
        steps = max(1, rollout // batch) * int(values["train.max_epochs"])
        yield Decision(
            "critic_warmup_steps",
            int(freezing) * steps,
            ("critic.freezing_steps",),
            f"{steps} optimizer steps a rollout",
        )
    yield from schedule(values, "actor.")
    yield from _clip_range(values)
    yield _completion_length(values)
    if values["data.input_key"] != "prompt":
        yield Decision("columns", f"prompt={values['data.input_key']}", ("data.input_key",))


def _clip_range(values: Values) -> Iterator[Decision]:
    limits = values.given.get("actor.eps_clip_low_high")
    if limits is None:
        yield Decision("epsilon", values["actor.eps_clip"], ("actor.eps_clip",))
    else:
        yield Decision("epsilon", limits[0], ("actor.eps_clip_low_high",))
        yield Decision("epsilon_high", limits[1], ("actor.eps_clip_low_high",))


def _completion_length(values: Values) -> Decision:
    for name in ("rollout.max_new_tokens", "generate_max_len"):
        if values.given.get(name) is not None:
            limits = ("data.max_len",) if "data.max_len" in values.given else ()
            return Decision("max_completion_length", int(values[name]), (name, *limits))
    return Decision(
        "max_completion_length", int(values["data.max_len"]), ("data.max_len",), "the limit of prompt and completion"
    )


SYSTEMS = (
    System(
        "openrlhf-rm",
        "OpenRLHF train_rm",
        "0.8.11, 0.9.10, 0.10.0 and 0.11.2",
        "train",
        RM,
        {
            "adam.lr": 9e-6,
            "adam.betas": [0.9, 0.95],
            "lr_warmup_ratio": 0.03,
            "lr_scheduler": "cosine_with_min_lr",
            "min_lr_ratio": 0.1,
            "train.max_epochs": 1,
            "train.batch_size": 128,
            "train.micro_batch_size": 1,
            "data.max_len": 512,
            "ds.lora.rank": 0,
            "ds.lora.alpha": 16,
            "ds.lora.dropout": 0,
            "ds.lora.target_modules": "all-linear",
            "logger.logging_steps": 1,
            "ckpt.save_steps": -1,
            "ckpt.max_num": 3,
            "model.gradient_checkpointing_enable": False,
            "ckpt.output_dir": "./ckpt",
        },
        (Constant("loss", "bradley_terry", "OpenRLHF's losses are this function"),),
        rm_decisions,
        {old: new for new, old in OLD_RM_NAMES.items()},
    ),
    System(
        "openrlhf-ppo",
        "OpenRLHF train_ppo_ray",
        "0.8.11, 0.9.10, 0.10.0 and 0.11.2",
        "ppo",
        PPO,
        {
            "actor.adam.lr": 1e-6,
            "critic.adam.lr": 9e-6,
            "actor.adam.betas": [0.9, 0.95],
            "actor.lr_warmup_ratio": 0.03,
            "actor.lr_scheduler": "cosine_with_min_lr",
            "actor.min_lr_ratio": 0.1,
            "train.num_episodes": 1,
            "train.max_epochs": 1,
            "train.batch_size": 128,
            "train.micro_batch_size": 1,
            "rollout.batch_size": 1024,
            "rollout.n_samples_per_prompt": 1,
            "data.max_len": 2048,
            "algo.advantage.lambd": 1,
            "critic.value_clip": 0.5,
            "actor.eps_clip": 0.2,
            "reward.clip_range": [-10, 10],
            "ds.lora.rank": 0,
            "ds.lora.alpha": 16,
            "ds.lora.dropout": 0,
            "ds.lora.target_modules": "all-linear",
            "logger.logging_steps": 1,
            "ckpt.save_steps": -1,
            "ckpt.max_num": 3,
            "actor.gradient_checkpointing_enable": False,
            "ckpt.output_dir": "./ckpt",
            "data.input_key": "input",
        },
        (Constant("score_normalization", "none", "OpenRLHF does not divide scores by their running deviation"),),
        ppo_decisions,
        {old: new for new, old in OLD_PPO_NAMES.items()},
        (
            "The defaults of rlhf-losses ppo are other ones, with normalized scores (docs/ppo.md#defaults).",
            "For many GPUs, keep OpenRLHF for PPO and hand it the reward model: docs/how-to/ppo-elsewhere.md.",
        ),
    ),
)
