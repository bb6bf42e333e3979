"""ms-swift: `swift rlhf` with `--rlhf_type rm` and `--rlhf_type ppo`."""

import math
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
    same,
    to,
)
from rlhf_losses.migrate.systems.from_llama_factory import dataset_names
from rlhf_losses.migrate.systems.from_trl import CRITIC
from rlhf_losses.migrate.systems.from_trl import PPO as TRL_PPO
from rlhf_losses.migrate.systems.from_trl import ppo_decisions as trl_ppo_decisions
from rlhf_losses.migrate.systems.training_arguments import (
    HARDWARE,
    LAUNCHER,
    SECRET,
    SPEED,
    TRAINING_ARGUMENTS,
    for_ppo,
)

OTHER_RUN = Unneeded("it belongs to runs of another kind")
OTHER_TUNER = Unneeded("it belongs to another tuner_type")
DATA = "Change the data themselves"


def _datasets(value: Any) -> Any:
    names = [value] if isinstance(value, str) else list(value)
    if any("#" in name for name in names):
        return Unavailable("NAME#COUNT is a notation of ms-swift", "Cut the data, and set dataset_name")
    return dataset_names(names)


def _first(value: Any) -> Any:
    names = [value] if isinstance(value, str) else list(value)
    if len(names) != 1 or "#" in names[0]:
        return Unavailable("One evaluation dataset is named, as a whole", "Set eval_dataset")
    return names[0]


def _adapters(value: Any) -> Any:
    return (
        Unneeded("there is none")
        if value in ([], None)
        else Unavailable("One adapter is trained, from its start", "Merge it into the model, and name that model")
    )


SHARED: Mapping[str, Rule] = {
    **TRAINING_ARGUMENTS,
    "rlhf_type": Unneeded("it decides between train and ppo"),
    "model": to("model_name_or_path"),
    "model_revision": to("model_revision"),
    "torch_dtype": to("dtype"),
    "attn_impl": choice(
        "attn_implementation",
        {
            "sdpa": Unneeded("it is the default"),
            "eager": "eager",
            "flash_attn": "flash_attention_2",
            "flash_attention_2": "flash_attention_2",
        },
        Unavailable(
            "This kernel is not known", "Set attn_implementation, or leave it out: layout: auto removes padding"
        ),
    ),
    "dataset": Written(("dataset_name", "datasets"), _datasets),
    "val_dataset": to("eval_dataset", _first),
    "split_dataset_ratio": Unavailable(
        "Evaluation data are a dataset of their own", "Split the data, and set eval_dataset", (0, 0.0)
    ),
    "columns": to(
        "columns", lambda value: {new: old for old, new in value.items()}, "NEW=OLD here, old to new in ms-swift"
    ),
    "tuner_type": Joint(
        ("use_peft", "learning_rate"), "The learning rate is 1e-4 with adapters and 1e-5 without, unless it is set"
    ),
    "learning_rate": Joint(
        ("learning_rate",), "The learning rate is 1e-4 with adapters and 1e-5 without, unless it is set"
    ),
    "lora_rank": to("lora_r"),
    "lora_alpha": to("lora_alpha"),
    "lora_dropout": to("lora_dropout"),
    "target_modules": to(
        "lora_target_modules", lambda value: "all-linear" if value in (["all-linear"], "all-linear") else value
    ),
    "target_parameters": to("lora_target_parameters"),
    "modules_to_save": to("lora_modules_to_save"),
    **same("use_rslora use_dora dataset_num_proc gradient_accumulation_steps per_device_train_batch_size"),
    "lora_bias": Unavailable(
        "Biases are not trained with adapters on the command line", "Use peft_config in Python", ("none",)
    ),
    "target_regex": Unavailable("Modules are named", "Set lora_target_modules"),
    "quant_bits": Written(
        ("load_in_4bit", "load_in_8bit"),
        lambda bits: (
            {f"load_in_{int(bits)}bit": True}
            if bits in (4, 8)
            else Unavailable("Weights with these bits are not trained", "Set load_in_4bit or load_in_8bit")
        ),
    ),
    "quant_method": choice(
        "",
        {"bnb": Unneeded("it is bitsandbytes here too"), None: Unneeded("weights are not quantized")},
        Unavailable("Weights are quantized with bitsandbytes", "Leave it out"),
    ),
    "bnb_4bit_quant_type": to("bnb_4bit_quant_type"),
    "bnb_4bit_use_double_quant": to("use_bnb_nested_quant"),
    "bnb_4bit_quant_storage": to("bnb_4bit_quant_storage"),
    "bnb_4bit_compute_dtype": Unneeded("the dtype of the computation is that of the weights"),
    "hqq_axis": Unneeded("it belongs to quant_method: hqq"),
    "streaming": to("dataset_streaming"),
    "warmup_ratio": TRAINING_ARGUMENTS["warmup_ratio"],
    "max_epochs": to("num_train_epochs"),
    "optimizer": Unavailable("Optimizers are those of transformers", "Set optim"),
    "train_dataloader_shuffle": choice(
        "train_sampling_strategy",
        {True: Unneeded("rows are shuffled"), False: "sequential"},
        Unavailable("It is a truth value", "Set train_sampling_strategy"),
    ),
    "early_stop_interval": Unavailable(
        "A run has the number of steps that is set", "Set stop_after, or load_best_model_at_end"
    ),
    "adapters": Written((), _adapters),
    "ref_adapters": Written((), _adapters),
    "resume_only_model": Unavailable(
        "A checkpoint of another trainer cannot be resumed", "Set model_name_or_path to its model"
    ),
    **each(
        Unavailable(
            "Conversations are rendered with the chat template that the tokenizer has", "Compare both templates"
        ),
        "template response_prefix",
    ),
    **each(
        Unavailable("Rows are read as they are", DATA, (None, True, False, 0, 0.0)),
        """
            system agent_template enable_thinking preserve_thinking add_non_thinking_prefix norm_bbox
            decision_drop_instructions decision_subsample_options decision_state_as_text decision_shuffle_fields
            disable_ignore_empty_think strict
        """,
    ),
    "use_chat_template": Unneeded("conversations are rendered with the chat template, texts are read as they are"),
    "padding_free": Unneeded("layout: auto removes padding"),
    "packing": Unneeded("layout: auto removes padding"),
    "router_aux_loss_coef": Unavailable("Experts are not balanced by a loss", "Leave it out", (None, 0, 0.0)),
    "use_hf": Unneeded("models and data come from the Hub or from folders; ms-swift's default is ModelScope"),
    **each(SECRET, "swanlab_token swanlab_secret"),
    **each(
        Unavailable(
            "The tracker reads it from its environment",
            "Set report_to: swanlab and its variables",
            (None, "zh", "cloud", "ms-swift"),
        ),
        """
            swanlab_project swanlab_workspace swanlab_exp_name swanlab_notification_method swanlab_webhook_url
            swanlab_sender_email swanlab_receiver_email swanlab_smtp_server swanlab_smtp_port swanlab_email_language
            swanlab_mode
        """,
    ),
    **each(HARDWARE, "device_map max_memory experts_impl device_groups"),
    **each(LAUNCHER, "sequence_parallel_size zero_hpz_partition_size deepspeed_autotp_size use_ray ray_exp_name"),
    **each(
        Unavailable(
            "Code of another system is not run", "Write a plugin: docs/how-to/write-a-plugin.md", (None, [], False)
        ),
        """
            external_plugins custom_register_path callbacks custom_dataset_info loss_type eval_metric mrl_dims
            multi_turn_scheduler
        """,
    ),
    **each(
        Unavailable("The config of the model has it", "Change config.json of the model", (None, [])),
        "rope_scaling max_model_len new_special_tokens model_kwargs init_strategy",
    ),
    **each(
        Unneeded("it follows from the command"), "task_type num_labels problem_type model_type load_args load_data_args"
    ),
    **each(
        Unavailable("All rows are used in a mixture", DATA, (None, "first_exhausted", [])),
        "interleave_prob stopping_strategy cached_dataset cached_val_dataset",
    ),
    **each(
        Unavailable(
            "All weights are trained, or adapters", "Freeze weights in Python", (None, [], 0, 0.0, False, True)
        ),
        """
            freeze_parameters freeze_parameters_regex freeze_parameters_ratio trainable_parameters
            trainable_parameters_regex freeze_llm freeze_vit freeze_aligner aligner_lr vit_lr lorap_lr_ratio
            use_swift_lora lora_dtype
        """,
    ),
    "init_weights": Unavailable("Adapters start at zero", "Use peft_config in Python", ("true", True)),
    **each(
        Unavailable("This optimizer is not built in", "Set optim to one of transformers", (False, 0)),
        "use_galore lisa_activated_layers",
    ),
    **each(
        SPEED,
        """
            add_version create_checkpoint_symlink enable_npu_model_patch packing_length packing_num_proc
            packing_strategy lazy_tokenize ignore_args_error load_from_cache_file shuffle_buffer_size download_mode
            disable_auto_column_mapping local_repo_path template_backend padding_side vit_gradient_checkpointing
            safe_serialization max_shard_size check_model acc_strategy use_logits_to_keep use_flash_ckpt tuner_backend
            dataset_shuffle val_dataset_shuffle is_binary_loss_scale
        """,
    ),
    **each(
        OTHER_RUN,
        """
        model_name model_author max_pixels loss_scale beta label_smoothing rpo_alpha ld_alpha discopop_tau
        loss_weights cpo_alpha simpo_gamma desirable_weight undesirable_weight sft_alpha lmbda seq_kd
        gkd_logits_topk teacher_model teacher_adapters teacher_model_type teacher_model_revision teacher_deepspeed
        teacher_model_server offload_teacher_model teacher_kl_coef teacher_tag_key enable_dft_loss
        enable_channel_loss eval_use_evalscope eval_dataset eval_dataset_args eval_limit eval_generation_config
        extra_eval_args num_generations reward_funcs reward_weights num_iterations num_beams stream stop_words
        logprobs top_logprobs structured_outputs_regex steps_per_generation generation_batch_size ref_model_type
        predict_with_generate generation_max_length generation_num_beams generation_config sortish_sampler
        sync_ref_model ref_model_sync_steps ref_model_mixup_alpha epsilon epsilon_high delta scale_rewards min_p
        advantage_estimator kl_in_reward dynamic_sample max_resample_times overlong_filter soft_cache_length
        soft_max_length importance_sampling_level advantage_reweight log_entropy top_entropy_quantile tau_pos
        tau_neg real_tau num_generations_eval off_policy_sequence_mask_delta completion_length_limit_scope max_turns
        gym_env use_gym_env reward_model_plugin wandb_log_unique_prompts async_generate sleep_level
        move_model_batches offload_model offload_optimizer enable_flattened_weight_sync
        log_rollout_offpolicy_metrics rollout_importance_sampling_mode rollout_importance_sampling_threshold
        cosine_max_len cosine_max_len_value_correct cosine_max_len_value_wrong cosine_min_len_value_correct
        cosine_min_len_value_wrong repetition_max_penalty repetition_n_grams chord_enable_phi_function
        chord_mu_decay_steps chord_mu_peak chord_mu_valley chord_mu_warmup_steps chord_sft_dataset
        chord_sft_per_device_train_batch_size fipo_clip_high_only fipo_clip_range fipo_decay_rate
        fipo_safety_threshold rlsd_lambda rlsd_lambda_decay_steps rlsd_lambda_warmup_steps rlsd_negative_only
        rlsd_reweight_clip_range sdar_gate_beta sdar_loss_coef use_vllm vllm_data_parallel_size
        vllm_disable_cascade_attn vllm_disable_custom_all_reduce vllm_enable_expert_parallel vllm_enable_lora
        vllm_enable_prefix_caching vllm_enforce_eager vllm_engine_kwargs vllm_gpu_memory_utilization
        vllm_limit_mm_per_prompt vllm_max_lora_rank vllm_max_model_len vllm_max_num_seqs vllm_mm_processor_cache_gb
        vllm_mode vllm_pipeline_parallel_size vllm_quantization vllm_reasoning_parser vllm_server_base_url
        vllm_server_group_port vllm_server_host vllm_server_pass_dataset vllm_server_port vllm_server_timeout
        vllm_speculative_config vllm_tensor_parallel_size vllm_use_async_engine
        """,
    ),
    **each(
        OTHER_TUNER,
        """
            lora_ga_batch_size lora_ga_iters lora_ga_max_length lora_ga_direction lora_ga_scale lora_ga_stable_gamma
            fourier_n_frequency fourier_scaling boft_block_size boft_block_num boft_n_butterfly_factor boft_dropout
            vera_rank vera_projection_prng_key vera_dropout vera_d_initial adapter_act adapter_length adalora_target_r
            adalora_init_r adalora_tinit adalora_tfinal adalora_deltaT adalora_beta1 adalora_beta2
            adalora_orth_reg_weight llamapro_num_new_blocks llamapro_num_groups reft_layer_key reft_layers reft_rank
            reft_intervention_type reft_args galore_target_modules galore_rank galore_update_proj_gap galore_scale
            galore_proj_type galore_optim_per_parameter galore_with_embedding galore_quantization galore_proj_quant
            galore_proj_bits galore_proj_group_size galore_cos_threshold galore_gamma_proj galore_queue_size
            lisa_step_interval
        """,
    ),
}

OTHER_COMMAND = Unneeded("it belongs to rlhf_type ppo")

RM: Mapping[str, Rule] = {
    **SHARED,
    "max_length": to("max_length"),
    "center_rewards_coefficient": to("center_rewards_coefficient"),
    "truncation_strategy": choice(
        "overlong",
        {"delete": "drop", "left": "truncate_prompt", None: Unneeded("longer rows are dropped")},
        Unavailable("Answers are not truncated", "Set overlong: drop or truncate_prompt"),
    ),
    **each(
        OTHER_COMMAND,
        """
            num_ppo_epochs whiten_rewards kl_coef cliprange vf_coef cliprange_value gamma lam num_mini_batches
            local_rollout_forward_batch_size num_sample_generations response_length missing_eos_penalty reward_model
            reward_adapters reward_model_type reward_model_revision reward_template ref_model ref_model_revision
            max_completion_length max_new_tokens temperature top_k top_p repetition_penalty log_completions
            ds3_gather_for_generation
        """,
    ),
    **each(
        Joint(("gradient_accumulation_steps",), "16 rows a step, unless it is set"),
        "gradient_accumulation_steps per_device_train_batch_size",
    ),
}

PPO: Mapping[str, Rule] = {
    **SHARED,
    **{
        name: TRL_PPO[name]
        for name in (
            "num_ppo_epochs",
            "whiten_rewards",
            "kl_coef",
            "cliprange",
            "vf_coef",
            "cliprange_value",
            "gamma",
            "lam",
            "num_mini_batches",
            "local_rollout_forward_batch_size",
            "num_sample_generations",
            "missing_eos_penalty",
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "logging_steps",
            "save_steps",
            "eval_steps",
            "warmup_steps",
            "max_steps",
            "ds3_gather_for_generation",
        )
    },
    **each(
        Joint(("max_completion_length",), "Three names of one setting"),
        "max_completion_length response_length max_new_tokens",
    ),
    "dataset_num_proc": SPEED,
    "reward_model": to("reward_model_name_or_path"),
    "reward_adapters": to("reward_model_name_or_path", lambda value: value if value else Unneeded("there is none")),
    "reward_model_revision": Unavailable("The newest revision is read", "Download it, and name the folder"),
    **each(Unneeded("the reward model has its own tokenizer and template"), "reward_model_type reward_template"),
    **each(
        Unavailable("The reference is the policy at the start", "Leave it out", same_as="model"),
        "ref_model ref_model_revision",
    ),
    **same("temperature top_k top_p repetition_penalty log_completions"),
    "max_length": Unavailable("Prompts that are too long are refused, not truncated", "Drop them from the data"),
    "truncation_strategy": Unneeded("it belongs to max_length"),
    "center_rewards_coefficient": Unneeded("it belongs to rlhf_type rm"),
}


def _adapter(values: Values) -> Iterator[Decision]:
    kind = values["tuner_type"]
    yield Decision(
        "use_peft", kind != "full", ("tuner_type",), "" if kind in ("full", "lora") else f"{kind} becomes LoRA"
    )
    if values["learning_rate"] is not None:
        yield Decision("learning_rate", values["learning_rate"], ("learning_rate",))
    else:
        yield Decision(
            "learning_rate", 1e-5 if kind == "full" else 1e-4, ("tuner_type",), f"ms-swift's default for {kind}"
        )


def _accumulation(values: Values) -> int:
    if values["gradient_accumulation_steps"] is not None:
        return int(values["gradient_accumulation_steps"])
    return max(1, math.ceil(16 / int(values["per_device_train_batch_size"]) / (values.processes or 1)))


def rm_decisions(values: Values) -> Iterator[Decision]:
    """Yield what follows from several settings of `--rlhf_type rm`.

    Args:
        values: the settings.
    """
    yield from _adapter(values)
    yield Decision(
        "per_device_train_batch_size", int(values["per_device_train_batch_size"]), ("per_device_train_batch_size",)
    )
    processes = values.processes or 1
    reason = "" if values["gradient_accumulation_steps"] is not None else f"16 rows a step on {processes} processes"
    yield Decision("gradient_accumulation_steps", _accumulation(values), ("gradient_accumulation_steps",), reason)


def ppo_decisions(values: Values) -> Iterator[Decision]:
    """Yield what follows from several settings of `--rlhf_type ppo`.

    Args:
        values: the settings.
    """
    yield from _adapter(values)
    yield from trl_ppo_decisions(
        Values(
            values.given, {**values.defaults, "gradient_accumulation_steps": _accumulation(values)}, values.processes
        )
    )
    names = [name for name in ("response_length", "max_new_tokens", "max_completion_length") if values.given.get(name)]
    yield Decision(
        "max_completion_length", int(values[names[0]]) if names else 512, tuple(names) or ("max_completion_length",)
    )


_DEFAULTS = {
    "tuner_type": "lora",
    "lora_rank": 8,
    "target_modules": "all-linear",
    "per_device_train_batch_size": 1,
    "weight_decay": 0.1,
    "adam_beta2": 0.95,
    "lr_scheduler_type": "cosine",
    "logging_steps": 5,
    "bnb_4bit_use_double_quant": True,
    "data_seed": 42,
}

ALIASES = {"train_type": "tuner_type", "sft_type": "tuner_type", "lora_target_modules": "target_modules"}

SYSTEMS = (
    System(
        "ms-swift-rm",
        "ms-swift rlhf_type rm",
        "4.6.0",
        "train",
        RM,
        {**_DEFAULTS, "max_length": None},
        (Constant("loss", "bradley_terry", "ms-swift's loss"),),
        rm_decisions,
        ALIASES,
        (
            "Columns of ms-swift (messages and rejected_response or rejected_messages) are chosen and rejected here: "
            "docs/how-to/move-from-llama-factory.md#ms-swift.",
        ),
    ),
    System(
        "ms-swift-ppo",
        "ms-swift rlhf_type ppo",
        "4.6.0",
        "ppo",
        for_ppo(PPO),
        {**_DEFAULTS, "temperature": 0.9, "kl_coef": 0.05, "lam": 0.95, "num_mini_batches": 1, "num_ppo_epochs": 4},
        (
            Constant(
                "score_normalization", "none", "the PPO trainer of TRL, which ms-swift runs, does not normalize scores"
            ),
            Constant("score_truncated_with_eos", False, "the reward model reads the tokens that were generated"),
        ),
        ppo_decisions,
        ALIASES,
        (CRITIC,),
    ),
)
