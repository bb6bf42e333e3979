"""What becomes of the settings that OpenRLHF's `train_rm` and `train_ppo_ray` share."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlhf_losses.migrate.rules import Decision, Joint, Rule, Unavailable, Unneeded, Values, Written, choice, each, to
from rlhf_losses.migrate.systems.training_arguments import HARDWARE, LAUNCHER, SPEED, split

DATA_COPY = "Change the data themselves, for example with datasets.Dataset.map"


def _steps_or_never(strategy: str, steps: str) -> Rule:
    """Return the rule of a number of steps of which -1 means never."""
    return Written(
        (strategy, steps), lambda number: {strategy: "steps", steps: number} if number > 0 else {strategy: "no"}
    )


def _use_peft(rank: int) -> dict[str, Any]:
    return {"use_peft": True, "lora_r": rank} if rank else {"use_peft": False}


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
    "eval.split": split("dataset_test_split"),
    "flash_attn": Unneeded("layout: auto removes padding with SDPA"),
}

SCHEDULE = Joint(("lr_scheduler_type", "lr_scheduler_kwargs"), "The ratio is an option of the schedule")


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
