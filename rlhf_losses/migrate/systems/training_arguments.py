"""Settings of `transformers.TrainingArguments` of several versions, which the other systems share."""

from collections.abc import Mapping
from typing import Any

from rlhf_losses.migrate.rules import Rule, Rules, Unavailable, Unneeded, Written, choice, each, same, to

LAUNCHER = Unavailable(
    "Processes are started by accelerate or torchrun, with a configuration of their own",
    "Use examples/accelerate/ddp.yaml, fsdp2.yaml, zero2.yaml or zero3.yaml as docs/how-to/many-processes.md describes",
)

PPO_LAUNCHER = Unavailable(
    "Each process has all models of PPO: DeepSpeed and FSDP are refused",
    "Use examples/accelerate/ddp.yaml, or for larger policies another system: docs/how-to/ppo-elsewhere.md",
)

HARDWARE = Unavailable(
    "It fits certain devices only",
    "Add it on the machine with the device",
)

SECRET = Unavailable(
    "It is a secret, which is not written to a file", "Set the environment variable HF_TOKEN", secret=True
)

SPEED = Unneeded("it changes the run time or the display, not the result")

REMOVED = Unneeded("transformers has removed it")

TRAINING_ARGUMENTS: Mapping[str, Rule] = {
    **same(
        """
            output_dir per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps
            num_train_epochs max_steps learning_rate lr_scheduler_type lr_scheduler_kwargs warmup_steps optim optim_args
            optim_target_modules weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm neftune_noise_alpha fp16
            bf16_full_eval fp16_full_eval gradient_checkpointing gradient_checkpointing_kwargs
            torch_compile torch_compile_backend torch_compile_mode torch_empty_cache_steps auto_find_batch_size
            logging_strategy logging_steps logging_first_step run_name project eval_strategy eval_steps
            eval_delay eval_on_start eval_accumulation_steps save_strategy save_steps save_total_limit save_only_model
            push_to_hub hub_model_id hub_strategy hub_private_repo hub_always_push hub_revision load_best_model_at_end
            metric_for_best_model greater_is_better ignore_data_skip full_determinism seed data_seed use_cpu
            accelerator_config dataloader_drop_last dataloader_num_workers dataloader_prefetch_factor
            train_sampling_strategy ddp_timeout ddp_find_unused_parameters
        """,
    ),
    "report_to": to("report_to", lambda value: "none" if value is None else value),
    "label_smoothing_factor": Unavailable(
        "It is for labels of classes, which no loss reads",
        "For pairs, set loss: bradley_terry(label_smoothing=0.1)",
        (0, 0.0, None),
    ),
    "bf16": to("bf16", lambda on: on if on is False else Unneeded("bf16 is on where the device supports it")),
    "activation_checkpointing": to("gradient_checkpointing"),
    "activation_checkpointing_kwargs": to("gradient_checkpointing_kwargs"),
    "resume_from_checkpoint": Unavailable(
        "A checkpoint of another trainer cannot be resumed", "Set model_name_or_path to its model, or train again"
    ),
    "warmup_ratio": to("warmup_steps", float, "A number below 1 is a share of the steps"),
    "evaluation_strategy": to("eval_strategy"),
    "no_cuda": to("use_cpu"),
    "group_by_length": choice(
        "train_sampling_strategy",
        {True: "group_by_length", False: Unneeded("it is off here too")},
        Unavailable("It is a truth value", "Set train_sampling_strategy"),
    ),
    "per_gpu_train_batch_size": to("per_device_train_batch_size"),
    "per_gpu_eval_batch_size": to("per_device_eval_batch_size"),
    "push_to_hub_model_id": to("hub_model_id"),
    "adafactor": choice(
        "optim",
        {True: "adafactor", False: Unneeded("it is off here too")},
        Unavailable("It is a truth value", "Set optim"),
    ),
    "torchdynamo": to("torch_compile_backend"),
    "split_batches": to("accelerator_config", lambda value: {"split_batches": value}),
    "dispatch_batches": to("accelerator_config", lambda value: {"dispatch_batches": value}),
    **each(HARDWARE, "tf32 ddp_backend use_mps_device tpu_num_cores tpu_metrics_debug"),
    **each(
        LAUNCHER,
        """
            deepspeed fsdp fsdp_config fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap parallelism_config
            ray_scope mp_parameters
        """,
    ),
    **each(SECRET, "hub_token push_to_hub_token"),
    "push_to_hub_organization": Unavailable("It is a part of hub_model_id", "Set hub_model_id: ORGANIZATION/NAME"),
    "logging_dir": Unavailable("transformers has removed it", "Set the environment variable TENSORBOARD_LOGGING_DIR"),
    "overwrite_output_dir": Unavailable(
        "A run into a folder with another run is refused", "Choose another output_dir, or remove the folder"
    ),
    "use_liger_kernel": Unavailable(
        "The score head has no fused loss", "Leave it out; layout: auto removes padding instead"
    ),
    "liger_kernel_config": Unneeded("it belongs to use_liger_kernel"),
    **each(
        SPEED,
        """
            average_tokens_across_devices include_num_input_tokens_seen include_tokens_per_second log_on_each_node
            logging_nan_inf_filter log_level log_level_replica disable_tqdm debug skip_memory_metrics
            prediction_loss_only eval_do_concat_batches eval_use_gather_object include_for_metrics
            include_inputs_for_metrics batch_eval_metrics dataloader_pin_memory dataloader_persistent_workers
            dataloader_multiprocessing_context dataloader_in_order length_column_name ddp_bucket_cap_mb
            ddp_broadcast_buffers ddp_static_graph use_cache trackio_space_id trackio_bucket_id trackio_static_space_id
            save_on_each_node
        """,
    ),
    "save_safetensors": Unneeded("models are always saved as safetensors"),
    "remove_unused_columns": Unneeded("the columns of a row that the loss does not use are never collated"),
    "label_names": Unneeded("a loss declares the feedback that it reads"),
    **each(Unneeded("the command decides what runs"), "do_train do_eval do_predict"),
    **each(
        Unneeded("checkpoints are whole or none here"), "enable_jit_checkpoint restore_callback_states_from_checkpoint"
    ),
    "local_rank": Unneeded("the launcher sets it"),
    **each(
        REMOVED,
        """
            fp16_opt_level half_precision_backend fp16_backend jit_mode_eval use_ipex past_index
            use_legacy_prediction_loop _n_gpu
        """,
    ),
}
"""What becomes of each setting."""


def for_ppo(rules: Rules) -> Rules:
    """Return a table for `rlhf-losses ppo`, which refuses the launchers of models in parts.

    Args:
        rules: the table.
    """
    return {name: PPO_LAUNCHER if rule is LAUNCHER else rule for name, rule in rules.items()}


def split(name: str) -> Written:
    """Return the rule of a split of a dataset, which is used whole.

    Args:
        name: the argument.

    Examples:
        >>> split("dataset_train_split").convert("train")
        {'dataset_train_split': 'train'}
        >>> split("dataset_train_split").convert("train[:10%]").reason
        'A split is used whole'
    """
    part = Unavailable("A split is used whole", "Cut the data, for example with datasets.Dataset.select")
    return to(name, lambda value: part if "[" in str(value) or "+" in str(value) else value)


DEFAULTS: Mapping[str, Any] = {"learning_rate": 5e-5}
"""Defaults that differ from those of this package."""

TRANSFORMERS_DEFAULTS: Mapping[str, Any] = {
    **DEFAULTS,
    "bf16": False,
    "gradient_checkpointing": False,
    "logging_steps": 500,
}
"""Defaults of systems that use `TrainingArguments` as they are; TRL's configurations change the last three."""
