"""What a change of each setting does to a run that resumes from a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """What a change of a setting does."""

    RESULT = "changes the result"
    LENGTH = "the run may become longer"
    NONE = "may change"
    ELSEWHERE = "compared as part of something else"


@dataclass(frozen=True)
class SettingEffects:
    """The effect of each setting of a configuration.

    Args:
        result: settings that change the result.
        harmless: settings that may change.
        length: settings that may become larger.
        elsewhere: settings that are compared as part of something else, and its name in messages.
    """

    result: frozenset[str]
    harmless: frozenset[str]
    length: frozenset[str]
    elsewhere: Mapping[str, str]

    @property
    def known(self) -> frozenset[str]:
        """Return the names of all settings with a known effect."""
        return self.result | self.harmless | self.length | frozenset(self.elsewhere)

    def effect(self, name: str) -> Effect:
        """Return the effect of a setting; an unknown one, of a newer library, changes the result."""
        groups = {Effect.NONE: self.harmless, Effect.LENGTH: self.length, Effect.ELSEWHERE: self.elsewhere}
        return next((effect for effect, names in groups.items() if name in names), Effect.RESULT)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RESULT = _words("""
    adam_beta1 adam_beta2 adam_epsilon average_tokens_across_devices bf16 data_seed dataloader_drop_last
    dataloader_in_order disable_dropout fp16 greater_is_better ignore_data_skip label_smoothing_factor learning_rate
    length_column_name load_best_model_at_end lr_scheduler_kwargs lr_scheduler_type max_grad_norm metric_for_best_model
    neftune_noise_alpha optim optim_args optim_target_modules remove_unused_columns
    restore_callback_states_from_checkpoint seed tf32 train_sampling_strategy warmup_steps weight_decay
    auto_find_batch_size accelerator_config
""")

_DEVICE = _words("""
    activation_checkpointing activation_checkpointing_kwargs bf16_full_eval dataloader_multiprocessing_context
    dataloader_num_workers dataloader_persistent_workers dataloader_pin_memory dataloader_prefetch_factor ddp_backend
    ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters ddp_static_graph ddp_timeout fp16_full_eval
    fsdp fsdp_config full_determinism gradient_checkpointing gradient_checkpointing_kwargs liger_kernel_config
    local_rank pad_to_multiple_of parallelism_config torch_compile torch_compile_backend torch_compile_mode
    torch_empty_cache_steps use_cache use_cpu use_liger_kernel
""")
"""Settings of devices, processes and memory; results agree up to rounding."""

_REPORTING = _words("""
    debug disable_tqdm hub_always_push hub_model_id hub_private_repo hub_revision hub_strategy hub_token
    include_for_metrics include_num_input_tokens_seen log_level log_level_replica log_on_each_node logging_first_step
    logging_nan_inf_filter logging_steps logging_strategy output_dir project push_to_hub report_to run_name
    skip_memory_metrics trackio_bucket_id trackio_space_id trackio_static_space_id
""")

_SAVING_AND_EVALUATION = _words("""
    allow_changed batch_eval_metrics do_eval do_predict do_train enable_jit_checkpoint eval_accumulation_steps
    eval_delay eval_do_concat_batches eval_on_start eval_steps eval_strategy eval_use_gather_object label_names
    per_device_eval_batch_size prediction_loss_only resume_from_checkpoint save_on_each_node save_only_model save_steps
    save_strategy save_total_limit stop_after trust_remote_code
""")

_HARMLESS = _DEVICE | _REPORTING | _SAVING_AND_EVALUATION

_LENGTH = _words("max_steps num_train_epochs")

_ELSEWHERE = {"deepspeed": "deepspeed_config", "model_init_kwargs": "model"}

REWARD_EFFECTS = SettingEffects(
    result=_RESULT | _words("average_over loss_parameters_learning_rate max_length overlong step_separator"),
    harmless=_HARMLESS
    | _words("""
        activation_offloading check_layout dataset_num_proc hidden_state_cache_gib layout max_tokens_per_forward
        skip_nonfinite
    """),
    length=_LENGTH,
    elsewhere=_ELSEWHERE
    | {
        "center_rewards_coefficient": "loss",
        "chat_template_path": "chat_template",
        "eos_token": "tokenizer",
        "gradient_accumulation_steps": "global_batch_size",
        "loss": "loss",
        "pad_token": "tokenizer",
        "per_device_train_batch_size": "global_batch_size",
        "resize_embeddings": "model",
        "segmentation": "segmentation",
    },
)
"""Effects of the settings of `RewardConfig`."""

_GRPO_RESULT = _words("""
    beta cast_lm_head_to_fp32 chat_template_kwargs delta entropy_coef entropy_coef_delta entropy_coef_max
    entropy_coef_min entropy_target epsilon epsilon_high generation_batch_size generation_kwargs
    gradient_accumulation_steps importance_sampling_level loss_type mask_truncated_completions max_completion_length
    max_tool_calling_iterations min_p num_generations num_iterations off_policy_mask_threshold
    per_device_train_batch_size ref_model_mixup_alpha ref_model_sync_steps repetition_penalty reward_weights
    router_aux_loss_coef sapo_temperature_neg sapo_temperature_pos shuffle_dataset steps_per_generation sync_ref_model
    temperature top_entropy_quantile top_k top_p use_adaptive_entropy use_bias_correction_kl use_vllm
    vespo_k_neg vespo_k_pos vespo_lambda_neg vespo_lambda_pos vllm_importance_sampling_cap
    vllm_importance_sampling_clip_max vllm_importance_sampling_clip_min vllm_importance_sampling_correction
    vllm_importance_sampling_mode vllm_max_model_length vllm_structured_outputs_regex
""")
"""Settings of TRL's `GRPOConfig` that PPO uses. A rollout is divided into the micro-batches of each process."""

_GRPO_HARMLESS = _words("""
    cache_implementation ds3_gather_for_generation log_completions log_completions_hub_repo log_multimodal
    log_unique_prompts num_completions_to_print num_generations_eval scale_rewards
    transformers_continuous_batching_config use_transformers_continuous_batching use_transformers_paged
    vllm_enable_sleep_mode vllm_gpu_memory_utilization vllm_group_port vllm_mode vllm_model_impl vllm_server_base_url
    vllm_server_host vllm_server_port vllm_server_timeout vllm_tensor_parallel_size
""")

_PPO_RESULT = _words("""
    bootstrap_truncated cliprange_value critic_learning_rate critic_learning_rate_ratio critic_warmup_steps
    early_stop_kl gamma kl_estimator kl_horizon kl_target lam missing_eos_penalty missing_eos_score
    multi_objective_aggregation ptx_coef ptx_max_length score_clip score_normalization score_truncated_with_eos
    shared_critic value_lam vf_coef whiten_advantages whiten_rewards
""")

PPO_EFFECTS = SettingEffects(
    result=_RESULT | _GRPO_RESULT | _PPO_RESULT,
    harmless=_HARMLESS | _GRPO_HARMLESS | _words("layout log_phase_times sanity_check skip_nonfinite"),
    length=_LENGTH,
    elsewhere=_ELSEWHERE,
)
"""Effects of the settings of `PPOConfig`."""
