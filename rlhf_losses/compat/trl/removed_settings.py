"""Settings of `TrainingArguments` that transformers has removed, which scripts for TRL's trainers have."""

from rlhf_losses.compat.trl.translated_setting import Kind, TranslatedSetting

_IN_ENVIRONMENT = "Set the environment variable HF_TOKEN."
_IN_NAME = "Set hub_model_id, as ORGANIZATION/NAME."

_REMEDIES = {
    "warmup_ratio": "Set warmup_steps: a number below 1 is a share of the run.",
    "evaluation_strategy": "Set eval_strategy.",
    "logging_dir": "Set the environment variable TENSORBOARD_LOGGING_DIR.",
    "overwrite_output_dir": "Omit it: a folder with another run is refused.",
    "save_safetensors": "Omit it: models are saved as safetensors.",
    "no_cuda": "Set use_cpu.",
    "group_by_length": "Set train_sampling_strategy='group_by_length'.",
    "per_gpu_train_batch_size": "Set per_device_train_batch_size.",
    "per_gpu_eval_batch_size": "Set per_device_eval_batch_size.",
    "push_to_hub_model_id": _IN_NAME,
    "push_to_hub_organization": _IN_NAME,
    "push_to_hub_token": _IN_ENVIRONMENT,
    "adafactor": "Set optim='adafactor'.",
    "torchdynamo": "Set torch_compile_backend.",
    "split_batches": "Set accelerator_config={'split_batches': ...}.",
    "dispatch_batches": "Set accelerator_config={'dispatch_batches': ...}.",
    "include_inputs_for_metrics": "Set include_for_metrics=['inputs'].",
    "include_tokens_per_second": "Set include_num_input_tokens_seen.",
    "fsdp_min_num_params": "Set fsdp_config={'min_num_params': ...}.",
    "fsdp_transformer_layer_cls_to_wrap": "Set fsdp_config={'transformer_layer_cls_to_wrap': ...}.",
    **dict.fromkeys(("fp16_backend", "fp16_opt_level", "half_precision_backend"), "Set fp16 or bf16."),
    **dict.fromkeys(
        (
            *("jit_mode_eval", "use_ipex", "past_index", "use_legacy_prediction_loop", "use_mps_device", "ray_scope"),
            *("tpu_metrics_debug", "tpu_num_cores", "mp_parameters"),
        ),
        "Omit it.",
    ),
}

REMOVED_SETTINGS = tuple(
    TranslatedSetting(name, Kind.REFUSED, (), f"transformers has removed it. {remedy}")
    for name, remedy in _REMEDIES.items()
)
"""All settings that transformers 4.46 had and its newest release has not."""
