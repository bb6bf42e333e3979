"""axolotl: `reward_model: true` and `process_reward_model: true`."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlhf_losses.files.columns import written_columns
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
from rlhf_losses.migrate.systems.training_arguments import HARDWARE, LAUNCHER, SECRET, SPEED, TRAINING_ARGUMENTS

OTHER_RUN = Unneeded("it belongs to runs of another kind")
DATA = "Change the data themselves"
OPTIMIZER_OPTION = Unneeded("it belongs to an optimizer of axolotl")


def _datasets(entries: list[dict[str, Any]]) -> Any:
    """Return the arguments of one dataset or of a mixture."""
    if len(entries) > 1 or "data_files" in entries[0]:
        return {"datasets": entries}
    names = {"path": "dataset_name", "name": "dataset_config", "split": "dataset_train_split"}
    return {names[key]: value for key, value in entries[0].items() if key in names}


def _test_datasets(entries: list[dict[str, Any]]) -> Any:
    if len(entries) > 1:
        return Unavailable(
            "One evaluation dataset is named", "Set eval_dataset to one, and run rlhf-losses evaluate with each"
        )
    names = {"path": "eval_dataset", "split": "dataset_test_split"}
    return {names[key]: value for key, value in entries[0].items() if key in names}


def _template(value: Any) -> Any:
    return (
        Unneeded("it is the template of the tokenizer")
        if value == "tokenizer_default"
        else Unavailable(
            "Conversations are rendered with the chat template that the tokenizer has",
            "Compare both; set chat_template_path for another one",
        )
    )


def _excess(value: Any) -> Any:
    known = {"drop": "drop", "raise": "error", None: Unneeded("longer rows are dropped")}
    return known.get(value, Unavailable("Answers are not truncated", "Set overlong: truncate_prompt"))


SHARED: Mapping[str, Rule] = {
    **TRAINING_ARGUMENTS,
    "base_model": to("model_name_or_path"),
    "revision_of_model": to("model_revision"),
    **same("""
            trust_remote_code load_in_4bit load_in_8bit lora_r lora_alpha lora_dropout lora_target_parameters
            lora_modules_to_save center_rewards_coefficient max_grad_norm dataset_num_proc
        """),
    "adapter": choice(
        "use_peft",
        {"lora": True, "qlora": True, None: False},
        Unavailable("It is lora, qlora or none here", "Set use_peft"),
    ),
    "lora_target_modules": to("lora_target_modules"),
    "lora_target_linear": choice(
        "lora_target_modules",
        {True: "all-linear", False: Unneeded("the modules are listed"), None: Unneeded("the modules are listed")},
        Unavailable("It is a truth value", "Set lora_target_modules"),
    ),
    "peft_use_dora": to("use_dora"),
    "peft_use_rslora": to("use_rslora"),
    "micro_batch_size": to("per_device_train_batch_size"),
    "eval_batch_size": to("per_device_eval_batch_size"),
    "batch_size": Unneeded("axolotl computes gradient_accumulation_steps from it; set that"),
    "num_epochs": to("num_train_epochs"),
    "optimizer": to("optim"),
    "lr_scheduler": Joint(("lr_scheduler_type",), "With cosine_min_lr_ratio it is cosine_with_min_lr"),
    "cosine_min_lr_ratio": Joint(
        ("lr_scheduler_type", "lr_scheduler_kwargs"), "With cosine_min_lr_ratio it is cosine_with_min_lr"
    ),
    **each(Joint(("warmup_steps",), "Without both, axolotl takes 3 %, at most 100 steps"), "warmup_steps warmup_ratio"),
    **each(Joint(("save_strategy", "save_steps"), "Shares of the run"), "saves_per_epoch"),
    "evals_per_epoch": Joint(("eval_strategy", "eval_steps"), "Shares of the run"),
    "save_steps": to("save_steps"),
    "eval_steps": Written(
        ("eval_strategy", "eval_steps"), lambda value: {"eval_strategy": "steps", "eval_steps": value}
    ),
    "bf16": to("bf16", lambda on: on if on is False else Unneeded("bf16 is on where the device supports it")),
    "bfloat16": to("bf16", lambda on: on if on is False else Unneeded("bf16 is on where the device supports it")),
    "float16": to("fp16"),
    "float32": Unneeded("weights are float32 by default"),
    "tf32": HARDWARE,
    "gradient_checkpointing": to(
        "gradient_checkpointing",
        lambda value: (
            value if isinstance(value, bool) else Unavailable("Activations are not moved to other memory", "Set true")
        ),
    ),
    "datasets": Written(("dataset_name", "dataset_config", "dataset_train_split", "datasets"), _datasets),
    "test_datasets": Written(("eval_dataset", "dataset_test_split"), _test_datasets),
    "datasets.type": Unneeded("the format is detected from the columns (docs/how-to/use-your-data.md)"),
    "datasets.ds_type": Unneeded("the format of a file follows from its suffix"),
    "datasets.revision": Unavailable("The newest revision is read", "Download it, and name the folder"),
    **each(
        Joint(("columns",), "Columns with other names are renamed"),
        "datasets.field_chosen datasets.field_rejected datasets.field_messages",
    ),
    **each(
        Unavailable("Messages have role and content", DATA, (None, "role", "content")),
        """
            datasets.message_field_role datasets.message_field_content datasets.message_property_mappings datasets.roles
            datasets.drop_system_message datasets.chat_template datasets.chat_template_jinja datasets.field_system
            datasets.shards datasets.input_transform datasets.input_format datasets.field datasets.field_tools
        """,
    ),
    **each(
        OTHER_RUN,
        """
        datasets.conversation datasets.field_human datasets.field_model datasets.field_thinking
        datasets.template_thinking_key datasets.message_field_training datasets.message_field_training_detail
        datasets.split_thinking datasets.logprobs_field datasets.temperature datasets.roles_to_train
        datasets.train_on_eos datasets.train_on_eot datasets.step_separator
        datasets.max_completion_length datasets.train_on_last_step_only
        """,
    ),
    **each(SPEED, "datasets.shards_idx datasets.preprocess_shards"),
    "datasets.trust_remote_code": Unneeded("datasets has no code of its own here"),
    "hub_model_id": Written(
        ("push_to_hub", "hub_model_id"), lambda value: {"push_to_hub": True, "hub_model_id": value}
    ),
    "chat_template": to("chat_template_path", _template),
    "chat_template_jinja": Unavailable(
        "The text of a template is not an argument", "Write it to a file, and set chat_template_path"
    ),
    "val_set_size": Unavailable(
        "Evaluation data are a dataset of their own", "Split the data, and set eval_dataset", (0, 0.0, None)
    ),
    "special_tokens": Unavailable(
        "Tokens are those of the tokenizer", "Set pad_token and eos_token, or save a tokenizer with them"
    ),
    **each(
        Unavailable(
            "Tokens are those of the tokenizer", "Save a tokenizer with the tokens, and set resize_embeddings: true"
        ),
        "tokens added_tokens_overrides resize_token_embeddings_to_32x fix_untrained_tokens eot_tokens",
    ),
    **each(
        Unavailable("Another file is not loaded", "Name a folder with the model and its tokenizer"),
        """
            base_model_config tokenizer_config cls_model_config processor_type overrides_of_model_config
            overrides_of_model_kwargs model_quantization_config model_quantization_config_kwargs
        """,
    ),
    "lora_model_dir": Unavailable(
        "One adapter is trained, from its start", "Merge it into the model, and name that model"
    ),
    **each(
        Unavailable("This kind of adapter is not on the command line", "Use peft_config in Python"),
        """
            lora_fan_in_fan_out lora_rank_pattern lora_alpha_pattern peft_layers_to_transform peft_layers_pattern peft
            peft_layer_replication peft_init_lora_weights peft_trainable_token_indices peft_ensure_weight_tying
            peft_autocast_adapter_dtype gptq relora bnb_config_kwargs unfrozen_parameters lisa_n_layers plugins
            quantize_moe_experts
        """,
    ),
    **each(
        Unavailable("All weights have one learning rate", "Leave it out"),
        """
            loraplus_lr_ratio embedding_lr embedding_lr_scale lr_groups lr_quadratic_warmup cosine_constant_lr_ratio
            lr_div_factor jagged_restart_steps jagged_restart_warmup_steps jagged_restart_anneal_steps
        """,
    ),
    "attn_implementation": to("attn_implementation"),
    "flash_attention": Unneeded("layout: auto removes padding with SDPA"),
    "sdp_attention": Unneeded("it is the default"),
    "eager_attention": choice(
        "attn_implementation",
        {True: "eager", False: Unneeded("it is off here too"), None: Unneeded("off")},
        Unavailable("It is a truth value", "Set attn_implementation"),
    ),
    **each(
        Unavailable("This kernel is not known", "Leave it out: layout: auto removes padding"),
        """
            xformers_attention flex_attention sage_attention flash_optimum gemma4_hybrid_attn_impl scaling_softmax
            s2_attention
        """,
    ),
    "excess_length_strategy": to("overlong", _excess),
    **each(
        Unneeded("layout: auto removes padding"),
        "sample_packing eval_sample_packing pad_to_sequence_len batch_flattening",
    ),
    "pad_to_multiple_of": to("pad_to_multiple_of"),
    "shuffle_merged_datasets": choice(
        "train_sampling_strategy",
        {True: Unneeded("rows are shuffled"), False: "sequential", None: Unneeded("rows are shuffled")},
        Unavailable("It is a truth value", "Set train_sampling_strategy"),
    ),
    "early_stopping_patience": Unavailable(
        "A run has the number of steps that is set", "Set stop_after, or load_best_model_at_end"
    ),
    "reward_model": Unneeded("it decides the loss"),
    "process_reward_model": Unneeded("it decides the loss"),
    "num_labels": Unneeded("a reward model has one score"),
    "wandb_name": to("run_name"),
    "use_wandb": choice(
        "report_to",
        {True: "wandb", False: Unneeded("it is off"), None: Unneeded("it is off")},
        Unavailable("It is a truth value", "Set report_to"),
    ),
    "use_tensorboard": choice(
        "report_to",
        {True: "tensorboard", False: Unneeded("it is off"), None: Unneeded("it is off")},
        Unavailable("It is a truth value", "Set report_to"),
    ),
    **each(
        Unavailable(
            "The tracker reads it from its environment", "Set WANDB_PROJECT and the other variables of the tracker"
        ),
        "wandb_project wandb_entity wandb_run_id wandb_mode wandb_watch wandb_log_model",
    ),
    **each(
        Unavailable(
            "It is a tracker among others", "Set report_to to mlflow, comet_ml or trackio, and its environment"
        ),
        """
            use_mlflow mlflow_tracking_uri mlflow_experiment_name mlflow_run_name hf_mlflow_log_artifacts use_comet
            comet_workspace comet_project_name comet_experiment_key comet_mode comet_online comet_experiment_config
            use_trackio trackio_project_name trackio_run_name use_otel_metrics
        """,
    ),
    **each(SECRET, "comet_api_key hf_use_auth_token"),
    "device": HARDWARE,
    "device_map": HARDWARE,
    "max_memory": HARDWARE,
    "gpu_memory_limit": HARDWARE,
    "fp8": HARDWARE,
    **each(
        LAUNCHER,
        """
            world_size ddp dp_shard_size dp_replicate_size sequence_parallel_degree context_parallel_size
            tensor_parallel_size heads_k_stride ring_attn_func fsdp_version fsdp_final_state_dict_type deepcompile
            use_ray ray_run_name ray_num_workers resources_per_worker fp32_norms fp32_norm_classes
        """,
    ),
    "auto_resume_from_checkpoints": Unavailable(
        "A run of this package resumes from its own checkpoints", "Set resume_from_checkpoint: auto"
    ),
    **each(
        Unneeded("it belongs to another setting of this list"),
        """
            fp8_config fp8_enable_fsdp_float8_all_gather loftq_config loraplus_lr_embedding relora_prune_ratio
            relora_prune_method relora_cpu_offload lisa_step_interval lisa_layers_attribute flex_attn_compile_kwargs
            scaling_softmax_factor scaling_softmax_bias otel_metrics_host otel_metrics_port tiled_mlp_num_shards
            tiled_mlp_use_original_mlp chat_template_kwargs sample_packing_eff_est torch_compile_options save_first_step
        """,
    ),
    "loss_watchdog_threshold": Unavailable("A run stops at NaN and infinity, not at a large loss", "Leave it out"),
    "loss_watchdog_patience": Unneeded("it belongs to loss_watchdog_threshold"),
    **each(
        OPTIMIZER_OPTION,
        """
            torchdistx_path adam_epsilon2 adam_beta3 dion_lr dion_momentum dion_rank_fraction dion_rank_multiple_of
            qgalore_rank qgalore_update_proj_gap qgalore_scale qgalore_proj_type qgalore_proj_quant qgalore_proj_bits
            qgalore_proj_group_size qgalore_cos_threshold qgalore_gamma_proj qgalore_queue_size
        """,
    ),
    "save_safetensors": Unneeded("models are always saved as safetensors"),
    **each(
        Unneeded("the model and its tokenizer are loaded as they are"),
        """
            tokenizer_use_fast tokenizer_legacy tokenizer_type tokenizer_use_mistral_common processor_kwargs
            tokenizer_save_jinja_files type_of_model is_falcon_derived_model is_llama_derived_model
            is_mistral_derived_model is_qwen_derived_model experimental_skip_move_to_device mean_resizing_embeddings
            shrink_embeddings embeddings_skip_upcast trainer_cls strict
        """,
    ),
    **each(
        SPEED,
        """
            dataset_prepared_path dataset_shard_num dataset_shard_idx skip_prepare_dataset num_dataset_shards_to_save
            dataset_processes dataset_keep_in_memory sample_packing_group_size sample_packing_bin_size
            sample_packing_sequentially sample_packing_mp_start_method multipack_real_batches gc_steps gc_collect_steps
            low_cpu_mem_usage activation_offloading layer_offloading selective_checkpointing flash_attn_cross_entropy
            flash_attn_fuse_mlp flash_attn_rms_norm large_head_attention flash_attn_d512 sdpa_varlen fused_attn_kernel
            experts_implementation ple_cpu_offload lora_mlp_kernel lora_qkv_kernel lora_o_kernel lora_embedding_kernel
            chunked_cross_entropy chunked_cross_entropy_num_chunks tiled_mlp llama4_linearized_experts profiler_steps
            profiler_steps_start include_tkps lora_on_cpu qlora_sharded_model_loading merge_lora merge_method
            use_kernels is_preprocess preprocess_iterable total_num_tokens total_supervised_tokens axolotl_config_path
            dynamic_checkpoint
        """,
    ),
    **each(
        Unavailable("Rows are read as they are", DATA),
        """
            shuffle_before_merging_datasets dataset_exact_deduplication push_dataset_to_hub min_sample_len
            default_system_message curriculum_sampling reinit_weights max_prompt_len
        """,
    ),
    "streaming": to("dataset_streaming"),
    **each(
        OTHER_RUN,
        """
            rl trl vllm ebft qat quantization dpo_use_weighting dpo_label_smoothing precompute_ref_log_probs
            dpo_use_liger_kernel dpo_padding_free dpo_loss_type dpo_loss_weights pretraining_dataset do_causal_lm_eval
            eval_causal_lm_metrics do_bench_eval bench_dataset bench_split freeze_mm_modules eval_sequence_len use_pose
            pose_split_on_token_ids pose_max_context_len pose_num_chunks pretrain_multipack_buffer_size
            pretrain_multipack_attn pretraining_sample_concatenation streaming_multipack_buffer_size use_eaft eaft_alpha
            eaft_k orpo_alpha simpo_gamma cpo_alpha kto_desirable_weight kto_undesirable_weight rl_beta generate_samples
            num_generation_samples generation_max_new_tokens generation_temperature generation_top_p generation_top_k
            generation_prompt_ratio generation_do_sample train_on_inputs image_size image_resize_algorithm
            role_boundaries gradio_title gradio_share gradio_server_name gradio_server_port gradio_max_new_tokens
            gradio_temperature max_packed_sequence_len rope_scaling noisy_embedding_alpha dpo_beta eval_table_size
            eval_max_new_tokens dpo_use_logits_to_keep dpo_generate_during_eval dpo_norm_loss rpo_alpha use_onebitllms
            capabilities env_capabilities
        """,
    ),
}

RM: Mapping[str, Rule] = {
    **SHARED,
    "sequence_len": to("max_length"),
}

PRM: Mapping[str, Rule] = {
    **SHARED,
    "sequence_len": to("max_length"),
    "datasets.step_separator": to("step_separator"),
    "datasets.max_completion_length": Unavailable("A text has one limit, max_length", "Set max_length"),
    "datasets.train_on_last_step_only": Unavailable(
        "Every step with a label is trained", "Write null in place of the other labels: they have no loss then"
    ),
}


def _times_per_epoch(values: Values, setting: str, strategy: str, steps: str) -> Iterator[Decision]:
    count = float(values[setting]) * float(values["num_epochs"] or 1)
    if values[setting] == 1 or count <= 1:
        yield Decision(strategy, "epoch", (setting,))
    else:
        yield Decision(strategy, "steps", (setting,))
        yield Decision(steps, round(1 / count, 6), (setting,), "a share of the run")


def decisions(values: Values) -> Iterator[Decision]:
    """Yield what follows from several settings.

    Args:
        values: the settings.
    """
    ratio = values["cosine_min_lr_ratio"]
    if ratio and values["lr_scheduler"] == "cosine":
        yield Decision("lr_scheduler_type", "cosine_with_min_lr", values.sources("cosine_min_lr_ratio", "lr_scheduler"))
        yield Decision("lr_scheduler_kwargs", {"min_lr_rate": ratio}, ("cosine_min_lr_ratio",))
    else:
        yield Decision("lr_scheduler_type", values["lr_scheduler"], ("lr_scheduler",))
    warmup = "warmup_steps" if values["warmup_steps"] is not None else "warmup_ratio"
    yield Decision(
        "warmup_steps", values[warmup], (warmup,), "a share of the steps" if warmup == "warmup_ratio" else ""
    )
    for setting, strategy, steps in (
        ("saves_per_epoch", "save_strategy", "save_steps"),
        ("evals_per_epoch", "eval_strategy", "eval_steps"),
    ):
        if values[setting]:
            yield from _times_per_epoch(values, setting, strategy, steps)
    renamed = {
        "chosen": "datasets.field_chosen",
        "rejected": "datasets.field_rejected",
        "prompt": "datasets.field_messages",
    }
    given = {name: values.given[key] for name, key in renamed.items() if values.given.get(key) not in (None, name)}
    if given:
        yield Decision("columns", written_columns(given), tuple(renamed[name] for name in given))


_DEFAULTS = {
    "adapter": None,
    "micro_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "num_epochs": 1.0,
    "lr_scheduler": "cosine",
    "warmup_ratio": 0.03,
    "sequence_len": 512,
    "gradient_checkpointing": False,
    "lora_dropout": 0.0,
    "output_dir": "./model-out",
}

ALIASES = {"model_type": "type_of_model"}

SYSTEMS = (
    System(
        "axolotl-rm",
        "axolotl reward_model",
        "0.19.0",
        "train",
        RM,
        _DEFAULTS,
        (Constant("loss", "bradley_terry", "the loss of TRL's RewardTrainer, which axolotl runs"),),
        decisions,
        ALIASES,
    ),
    System(
        "axolotl-prm",
        "axolotl process_reward_model",
        "0.19.0",
        "train",
        PRM,
        _DEFAULTS,
        (Constant("loss", "step_cross_entropy", "cross-entropy of each step, with one logit in place of two"),),
        decisions,
        ALIASES,
    ),
)
