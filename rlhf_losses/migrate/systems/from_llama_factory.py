"""LLaMA-Factory: the stages `rm` and `ppo`."""

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
from rlhf_losses.migrate.systems.training_arguments import (
    HARDWARE,
    LAUNCHER,
    SECRET,
    SPEED,
    TRAINING_ARGUMENTS,
    for_ppo,
)

OFF = Unneeded("it is off here too")
OTHER_STAGE = Unneeded("it belongs to another stage")
NO_IMAGES = Unneeded("it is about images, video or audio, and rows of text have none")
INFERENCE = Unneeded("it belongs to inference or export")
OPTIMIZER = Unavailable(
    "This optimizer is not built in", "Set optim to one of transformers, for example adafactor or galore_adamw"
)
OPTIMIZER_OPTION = Unneeded("it belongs to an optimizer that is off, or to one of those above")
DATA = "Change the data themselves"


def dataset_names(value: Any) -> Any:
    """Return one dataset or a mixture.

    Args:
        value: names with commas in between, or a list.

    Examples:
        >>> dataset_names("a, b")
        {'datasets': [{'path': 'a'}, {'path': 'b'}]}
    """
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)
    return {"dataset_name": names[0]} if len(names) == 1 else {"datasets": [{"path": str(name)} for name in names]}


def _bits(value: Any) -> Any:
    known = {4: {"load_in_4bit": True}, 8: {"load_in_8bit": True}, None: Unneeded("weights are not quantized")}
    return known.get(
        value, Unavailable(f"Weights with {value} bits are not trained", "Set load_in_4bit or load_in_8bit")
    )


def _target(value: Any) -> Any:
    names = value.split(",") if isinstance(value, str) else list(value)
    return "all-linear" if names == ["all"] else [name.strip() for name in names]


SHARED: Mapping[str, Rule] = {
    **TRAINING_ARGUMENTS,
    **same("model_name_or_path model_revision lora_dropout use_dora use_rslora trust_remote_code"),
    "stage": Unneeded("it decides between train and ppo"),
    "dataset": Written(
        ("dataset_name", "datasets"),
        dataset_names,
        "A name in dataset_info.json: replace it by the file or the Hub id there",
    ),
    "eval_dataset": to("eval_dataset", note="A name in dataset_info.json: replace it by the file or the Hub id there"),
    "dataset_dir": Unavailable(
        "A dataset is named by its file, folder or Hub id", "Set dataset_name to its path", ("data", None)
    ),
    "template": Unavailable(
        "Conversations are rendered with the chat template that the tokenizer has",
        "Compare both templates; for another one, set chat_template_path: FILE",
    ),
    "finetuning_type": choice(
        "use_peft",
        {"lora": True, "full": False},
        Unavailable("It is lora or full here", "Set use_peft, or freeze weights in Python"),
    ),
    "lora_rank": Joint(("lora_r", "lora_alpha"), "lora_alpha is twice the rank unless it is set"),
    "lora_alpha": Joint(("lora_alpha",), ""),
    "lora_target": to("lora_target_modules", _target),
    "additional_target": to(
        "lora_modules_to_save", lambda value: value.split(",") if isinstance(value, str) else value
    ),
    "quantization_bit": Written(("load_in_4bit", "load_in_8bit"), _bits),
    "quantization_type": to("bnb_4bit_quant_type"),
    "double_quantization": to("use_bnb_nested_quant"),
    "quantization_method": choice(
        "",
        {"bnb": Unneeded("it is bitsandbytes here too")},
        Unavailable("Weights are quantized with bitsandbytes", "Leave it out"),
    ),
    "quantization_device_map": Unneeded("the launcher places the model"),
    "disable_gradient_checkpointing": to("gradient_checkpointing", lambda value: not value),
    "use_reentrant_gc": to("gradient_checkpointing_kwargs", lambda value: {"use_reentrant": value}),
    "flash_attn": choice(
        "attn_implementation",
        {
            "auto": Unneeded("it is chosen"),
            "sdpa": Unneeded("it is the default"),
            "disabled": "eager",
            "fa2": "flash_attention_2",
        },
        Unavailable(
            "This kernel is not known", "Set attn_implementation, or leave it out: layout: auto removes padding"
        ),
    ),
    "disable_shuffling": choice(
        "train_sampling_strategy",
        {True: "sequential", False: OFF},
        Unavailable("It is a truth value", "Set train_sampling_strategy"),
    ),
    "streaming": to("dataset_streaming"),
    "preprocessing_num_workers": to("dataset_num_proc"),
    "val_size": Unavailable(
        "Evaluation data are a dataset of their own", "Split the data, and set eval_dataset", (0, 0.0, None)
    ),
    "max_samples": Unavailable("All rows are used", DATA),
    "early_stopping_steps": Unavailable(
        "A run has the number of steps that is set", "Set stop_after, or load_best_model_at_end"
    ),
    "freeze_trainable_layers": Unneeded("it belongs to finetuning_type: freeze"),
    "freeze_trainable_modules": Unneeded("it belongs to finetuning_type: freeze"),
    "freeze_extra_modules": Unneeded("it belongs to finetuning_type: freeze"),
    **each(
        Unavailable("One adapter is trained, from its start", "Merge the adapter into the model, and name that model"),
        "adapter_name_or_path adapter_folder create_new_adapter pissa_init use_llama_pro",
    ),
    **each(Unneeded("it belongs to pissa_init"), "pissa_iter pissa_convert"),
    "loraplus_lr_ratio": Unavailable("Both matrices of an adapter have one learning rate", "Leave it out"),
    "loraplus_lr_embedding": Unneeded("it belongs to loraplus_lr_ratio"),
    **each(Unneeded("it belongs to finetuning_type: oft"), "module_dropout oft_rank oft_block_size oft_target"),
    **each(OPTIMIZER, "use_galore use_apollo use_badam use_adam_mini use_muon"),
    **each(
        OPTIMIZER_OPTION,
        """
            galore_target galore_rank galore_update_interval galore_scale galore_proj_type galore_layerwise
            apollo_target apollo_rank apollo_update_interval apollo_scale apollo_proj apollo_proj_type apollo_scale_type
            apollo_layerwise apollo_scale_front badam_mode badam_start_block badam_switch_mode badam_switch_interval
            badam_update_ratio badam_mask_mode badam_verbose
        """,
    ),
    "use_swanlab": Unavailable("It is a tracker among others", "Set report_to: swanlab"),
    **each(
        Unavailable(
            "The tracker reads it from its environment", "Set the variables of SwanLab", (None, "cloud", "llamafactory")
        ),
        "swanlab_project swanlab_workspace swanlab_run_name swanlab_mode swanlab_logdir swanlab_lark_webhook_url",
    ),
    **each(SECRET, "swanlab_api_key swanlab_lark_secret hf_hub_token ms_hub_token om_hub_token"),
    "resize_vocab": to("resize_embeddings"),
    **each(
        Unavailable(
            "Tokens are those of the tokenizer", "Save a tokenizer with the tokens, and set resize_embeddings: true"
        ),
        "add_tokens add_special_tokens new_special_tokens_config",
    ),
    "init_special_tokens": Unneeded("it belongs to add_special_tokens"),
    "cache_dir": Unavailable("The cache of the Hub is set in the environment", "Set HF_HOME"),
    "rope_scaling": Unavailable("The config of the model has it", "Change config.json of the model"),
    "model_max_length": Unneeded("max_length limits texts"),
    "moe_aux_loss_coef": Unavailable("Experts are not balanced by a loss", "Leave it out", (None, 0, 0.0)),
    "pure_bf16": Unavailable("Weights have the dtype of dtype", "Set dtype: bfloat16"),
    **each(
        Unavailable("The model is trained as it is", "Leave it out"),
        """
            shift_attn mixture_of_depths upcast_layernorm train_from_scratch block_diag_attn use_kt use_mca
            use_hyper_parallel fp8
        """,
    ),
    **each(
        Unneeded("it belongs to a setting above"),
        """
            hyper_parallel_args fp8_backend fp8_enable_fsdp_float8_all_gather kt_weight_path kt_expert_checkpoint_path
            kt_use_lora_experts kt_lora_expert_num kt_lora_expert_intermediate_size
        """,
    ),
    "enable_liger_kernel": Unneeded("the score head has no fused loss; layout: auto removes padding"),
    **each(
        SPEED,
        """
            use_unsloth use_unsloth_gc low_cpu_mem_usage print_param_status plot_loss buffer_size overwrite_cache
            preprocessing_batch_size tokenized_path data_shared_file_system use_v1_kernels
            include_effective_tokens_per_second use_kv_cache upcast_lmhead_output
        """,
    ),
    **each(HARDWARE, "compute_dtype device_map"),
    **each(LAUNCHER, "ray_num_workers ray_init_kwargs master_addr master_port ray_run_name"),
    **each(
        Unneeded("the profiler does not change the result"),
        """
            enable_torch_profiler profiler_output_dir profiler_wait_steps profiler_warmup_steps profiler_active_steps
            profiler_repeat profiler_record_shapes profiler_profile_memory profiler_with_stack profile_modules
        """,
    ),
    "use_fast_tokenizer": Unneeded("the tokenizer that the model has is loaded"),
    "split_special_tokens": Unavailable(
        "Special tokens in texts are read as the tokenizer does", "Remove them from the data"
    ),
    "mix_strategy": Unavailable("All rows of each dataset are used once an epoch", "Repeat or drop rows", ("concat",)),
    "interleave_probs": Unneeded("it belongs to mix_strategy"),
    **each(
        Unavailable("Rows are read as they are", DATA, (None, True, "")),
        "default_system tool_format enable_thinking preserve_thinking media_dir",
    ),
    **each(
        OTHER_STAGE,
        """
            train_on_prompt mask_history ignore_pad_token_for_loss eval_num_beams compute_accuracy pref_beta pref_ftx
            pref_bco_weight pref_loss dpo_label_smoothing kto_chosen_weight kto_rejected_weight simpo_gamma ld_alpha
            use_dft_loss use_asft_loss asft_alpha use_eaft_loss eaft_alpha packing neat_packing ref_model
            ref_model_adapters ref_model_quantization_bit predict_with_generate generation_max_length
            generation_num_beams generation_config sortish_sampler
        """,
    ),
    "eval_on_each_dataset": Unavailable("One evaluation dataset is named", "Run rlhf-losses evaluate with each"),
    **each(
        NO_IMAGES,
        """
            image_max_pixels image_min_pixels image_do_pan_and_scan crop_to_patches video_max_pixels video_min_pixels
            video_fps video_maxlen use_audio_in_video audio_sampling_rate freeze_vision_tower
            freeze_multi_modal_projector freeze_language_model
        """,
    ),
    **each(
        INFERENCE,
        """
            infer_backend infer_dtype offload_folder export_dir export_size export_device export_quantization_bit
            export_quantization_dataset export_quantization_nsamples export_quantization_maxlen export_legacy_format
            export_hub_model_id vllm_maxlen vllm_gpu_util vllm_enforce_eager vllm_max_lora_rank vllm_config
            sglang_maxlen sglang_mem_fraction sglang_tp_size sglang_config sglang_lora_backend
        """,
    ),
}

OTHER_COMMAND = Unneeded("it belongs to the stage ppo")

RM: Mapping[str, Rule] = {
    **SHARED,
    "cutoff_len": to("max_length", note="Longer rows are dropped, and counted; LLaMA-Factory truncates them"),
    **each(
        OTHER_COMMAND,
        """
            ppo_buffer_size ppo_epochs ppo_score_norm ppo_target ppo_whiten_rewards reward_model reward_model_adapters
            reward_model_quantization_bit reward_model_type do_sample temperature top_p top_k num_beams max_length
            max_new_tokens repetition_penalty length_penalty skip_special_tokens
        """,
    ),
}

ROLLOUT = Joint(
    ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation"),
    "A rollout has ppo_buffer_size times the completions of an optimizer step",
)

PPO: Mapping[str, Rule] = {
    **SHARED,
    "preprocessing_num_workers": SPEED,
    "resize_vocab": Unavailable("A policy keeps its embeddings", "Resize and save the model before"),
    "cutoff_len": Unavailable("Prompts that are too long are refused, not truncated", "Drop them from the data"),
    **each(ROLLOUT, "per_device_train_batch_size gradient_accumulation_steps ppo_buffer_size"),
    "ppo_epochs": to("num_iterations"),
    "ppo_score_norm": to("score_normalization", lambda value: "running" if value else "none"),
    "ppo_target": to("kl_target"),
    "ppo_whiten_rewards": to("whiten_rewards"),
    "reward_model": to("reward_model_name_or_path", note="A folder that rlhf-losses train or transformers has written"),
    "reward_model_type": choice(
        "",
        {
            "full": Unneeded("whole models and adapters are loaded alike"),
            "lora": Unneeded("whole models and adapters are loaded alike"),
        },
        Unavailable(
            "Another protocol is spoken between rlhf-losses ppo and a server",
            "Set reward_model_name_or_path to the folder of the model, or to the address of rlhf-losses serve",
        ),
    ),
    "reward_model_adapters": to("reward_model_name_or_path"),
    "reward_model_quantization_bit": Unavailable("Reward models are loaded in their dtype", "Leave it out"),
    **same("temperature top_p top_k repetition_penalty"),
    "max_new_tokens": to("max_completion_length"),
    "max_length": Unneeded("max_new_tokens limits completions"),
    "do_sample": Unavailable("Completions are sampled", "Leave it out: PPO needs samples", (True, None)),
    "num_beams": Unavailable("Completions are sampled, without beams", "Leave it out", (1, None)),
    "length_penalty": Unneeded("it belongs to num_beams"),
    "skip_special_tokens": Unneeded("reward models read the tokens of the policy"),
}


def adapter(values: Values) -> Iterator[Decision]:
    """Yield rank and scale of adapters.

    Args:
        values: the settings.
    """
    rank = int(values["lora_rank"])
    yield Decision("lora_r", rank, ("lora_rank",))
    if values["lora_alpha"] is None:
        yield Decision("lora_alpha", 2 * rank, ("lora_rank",), "twice the rank")
    else:
        yield Decision("lora_alpha", values["lora_alpha"], ("lora_alpha",))


def ppo_decisions(values: Values) -> Iterator[Decision]:
    """Yield what follows from several settings of the stage `ppo`.

    Args:
        values: the settings.
    """
    yield from adapter(values)
    size, passes, buffer = (
        int(values[name]) for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "ppo_buffer_size")
    )
    yield Decision("per_device_train_batch_size", size, ("per_device_train_batch_size",))
    yield Decision("gradient_accumulation_steps", passes, ("gradient_accumulation_steps",))
    yield Decision(
        "steps_per_generation",
        passes * buffer,
        values.sources("ppo_buffer_size", "gradient_accumulation_steps"),
        f"{size * passes * buffer} completions a rollout and process",
    )


_SHARED_DEFAULTS = {
    "learning_rate": 5e-5,
    "finetuning_type": "lora",
    "lora_rank": 8,
    "lora_dropout": 0.0,
    "lora_target": "all",
    "logging_steps": 500,
    "double_quantization": True,
}

DATASETS = (
    "dataset_name must be the file or the Hub id that dataset_info.json has for the name. Columns of its formats "
    "(sharegpt and alpaca with ranking) are prompt, chosen and rejected here (docs/how-to/move-from-llama-factory.md)."
)

SYSTEMS = (
    System(
        "llama-factory-rm",
        "LLaMA-Factory stage rm",
        "0.9.5",
        "train",
        RM,
        {**_SHARED_DEFAULTS, "cutoff_len": 2048},
        (Constant("loss", "bradley_terry", "LLaMA-Factory's loss"),),
        adapter,
        steps=(DATASETS,),
    ),
    System(
        "llama-factory-ppo",
        "LLaMA-Factory stage ppo",
        "0.9.5",
        "ppo",
        for_ppo(PPO),
        {
            **_SHARED_DEFAULTS,
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 1,
            "ppo_buffer_size": 1,
            "ppo_epochs": 4,
            "ppo_target": 6.0,
            "ppo_score_norm": False,
            "temperature": 0.95,
            "top_p": 0.7,
            "top_k": 50,
            "max_new_tokens": 1024,
        },
        (
            Constant("beta", 0.2, "initial KL coefficient of the PPO trainer of TRL 0.9 that LLaMA-Factory uses"),
            Constant("value_lam", 0.95, "the same factor for advantages and returns"),
            Constant("shared_critic", True, "LLaMA-Factory has a value head on the policy"),
        ),
        ppo_decisions,
        steps=(
            DATASETS,
            "A reward model of LLaMA-Factory has its head in value_head.safetensors, apart from the model, and is not "
            "loaded here: train it again with rlhf-losses train.",
        ),
    ),
)
