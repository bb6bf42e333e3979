"""TRL: `trl reward` and `RewardTrainer`, and `PPOTrainer` and `PRMTrainer`, which it has removed."""

import math
from collections.abc import Iterator, Mapping

from rlhf_losses.migrate.rules import (
    Constant,
    Decision,
    Joint,
    Rule,
    System,
    Unavailable,
    Unneeded,
    Values,
    choice,
    each,
    same,
    to,
    to_several,
)
from rlhf_losses.migrate.systems.training_arguments import REMOVED, SPEED, TRAINING_ARGUMENTS

IMPORT = "In a script, change the import only: from rlhf_losses import RewardConfig, RewardTrainer."

COMPUTED = Unneeded("TRL computes it from other settings")

MODEL: Mapping[str, Rule] = {
    **same(
        """
            model_name_or_path model_revision dtype attn_implementation use_peft lora_r lora_alpha lora_dropout
            lora_target_modules lora_target_parameters lora_modules_to_save use_rslora use_dora load_in_8bit
            load_in_4bit bnb_4bit_quant_type use_bnb_nested_quant bnb_4bit_quant_storage trust_remote_code dataset_name
            dataset_config dataset_train_split dataset_test_split dataset_streaming datasets streaming test_split_size
            dataset_num_proc model_init_kwargs disable_dropout
        """,
    ),
    "torch_dtype": to("dtype"),
    "lora_task_type": Unneeded("it follows from the command"),
    "ignore_bias_buffers": Unneeded("transformers handles such buffers"),
    "gradient_checkpointing_use_reentrant": to("gradient_checkpointing_kwargs", lambda value: {"use_reentrant": value}),
}
"""Settings of `ModelConfig`, `ScriptArguments` and `DatasetMixtureConfig`."""

LORA: Mapping[str, Rule] = {
    "lora.r": to("lora_r"),
    "lora.lora_alpha": to("lora_alpha"),
    "lora.lora_dropout": to("lora_dropout"),
    "lora.target_modules": to("lora_target_modules"),
    "lora.target_parameters": to("lora_target_parameters"),
    "lora.modules_to_save": to("lora_modules_to_save"),
    "lora.use_rslora": to("use_rslora"),
    "lora.use_dora": to("use_dora"),
    "lora.task_type": Unneeded("it follows from the command"),
    "lora.inference_mode": Unneeded("adapters are trained"),
    "lora.bias": Unavailable(
        "Biases are not trained with adapters on the command line", "Use peft_config in Python", ("none", None)
    ),
    "bitsandbytes.load_in_4bit": to("load_in_4bit"),
    "bitsandbytes.load_in_8bit": to("load_in_8bit"),
    "bitsandbytes.bnb_4bit_quant_type": to("bnb_4bit_quant_type"),
    "bitsandbytes.bnb_4bit_use_double_quant": to("use_bnb_nested_quant"),
    "bitsandbytes.bnb_4bit_compute_dtype": to("dtype", str, "The dtype of the computation is that of the weights"),
}
"""Arguments of PEFT's `LoraConfig` and of `BitsAndBytesConfig` in a script."""

IN_PYTHON = Unavailable("The command line has no argument for objects", "Keep the script, with the import changed")

TRAINER: Mapping[str, Rule] = {
    **each(
        IN_PYTHON,
        """
            trainer.data_collator trainer.compute_metrics trainer.callbacks trainer.optimizers
            trainer.optimizer_cls_and_kwargs trainer.preprocess_logits_for_metrics trainer.model_init
        """,
    ),
    "trainer.processing_class": Unneeded("the tokenizer of the model is loaded"),
    "trainer.args": Unneeded("its settings are listed one by one"),
    "trainer.peft_config": choice(
        "use_peft",
        {True: True, None: False},
        Unavailable("The configuration is not in the script", "Set lora_r and so on"),
    ),
    "trainer.quantization_config": Unneeded("its settings are listed one by one"),
    "trainer.train_dataset": to("dataset_name"),
    "trainer.eval_dataset": to("eval_dataset"),
    "train_dataset.split": to("dataset_train_split"),
    "train_dataset.name": to("dataset_config"),
    "eval_dataset.split": to("dataset_test_split"),
    "eval_dataset.name": to("dataset_config"),
    **each(
        Unavailable("dataset_name names files itself", "Set dataset_name to a file, a folder or a pattern"),
        "train_dataset.data_files train_dataset.data_dir eval_dataset.data_files eval_dataset.data_dir",
    ),
    **each(to("dataset_streaming"), "train_dataset.streaming eval_dataset.streaming"),
}
"""Arguments of the constructor of a trainer, and of `load_dataset`, in a script."""

SHARED: Mapping[str, Rule] = {**TRAINING_ARGUMENTS, **MODEL, **LORA, **TRAINER}

ALIASES = {"model": "model_name_or_path", "dataset": "dataset_name"}

REWARD: Mapping[str, Rule] = {
    **SHARED,
    **same(
        """
            max_length center_rewards_coefficient chat_template_path eos_token pad_token pad_to_multiple_of
            activation_offloading columns
        """,
    ),
    "trainer.model": to("model_name_or_path"),
}

PRM: Mapping[str, Rule] = {
    **REWARD,
    "step_separator": to("step_separator", note="It is inserted between two steps without white space"),
    "train_on_last_step_only": Unavailable(
        "Every step with a label is trained", "Write null in place of the other labels: they have no loss then"
    ),
    "max_completion_length": Unavailable(
        "A text has one limit, max_length", "Set max_length; overlong: drop drops longer rows"
    ),
    "max_prompt_length": Unavailable(
        "A text has one limit, max_length", "Set max_length, or overlong: truncate_prompt"
    ),
}

PPO: Mapping[str, Rule] = {
    **SHARED,
    "sft_model_path": to("model_name_or_path"),
    "reward_model_path": to("reward_model_name_or_path"),
    "response_length": to("max_completion_length"),
    "num_ppo_epochs": Joint(("num_iterations",), "Epochs of a rollout"),
    "cliprange": to("epsilon"),
    **same("vf_coef cliprange_value gamma temperature whiten_rewards missing_eos_penalty kl_estimator"),
    "lam": to_several("lam", "value_lam", note="TRL has one factor for advantages and returns"),
    "kl_coef": to("beta", note="In units of the scores, so score_normalization is none"),
    "ds3_gather_for_generation": to("ds3_gather_for_generation"),
    "exp_name": to("run_name"),
    **each(Joint(("max_steps",), "TRL counts completions, this package optimizer steps"), "total_episodes max_steps"),
    **each(
        Joint(
            ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation"),
            "A rollout has per_device_train_batch_size times gradient_accumulation_steps completions in TRL, and "
            "num_mini_batches optimizer steps an epoch",
        ),
        "per_device_train_batch_size gradient_accumulation_steps num_mini_batches",
    ),
    **each(
        Joint(
            ("logging_steps", "save_steps", "eval_steps", "warmup_steps"),
            "TRL counts rollouts, this package optimizer steps",
        ),
        "logging_steps save_steps eval_steps warmup_steps",
    ),
    "local_rollout_forward_batch_size": Unneeded("texts are scored in batches of the same size as in training"),
    "num_sample_generations": Unavailable("Tables of completions are logged", "Set log_completions: true", (0, None)),
    "stop_token": choice(
        "missing_eos_score",
        {"eos": Unneeded("a completion ends with EOS"), None: Unneeded("a completion ends with EOS")},
        Unavailable("A completion ends with the EOS tokens of the generation config", "Change generation_config.json"),
    ),
    "stop_token_id": Unavailable(
        "A completion ends with the EOS tokens of the generation config",
        "Change eos_token_id in generation_config.json",
    ),
    **each(
        Unavailable("The reference is the policy at the start", "Load the adapter alone, or merge it into the model"),
        "model_adapter_name ref_adapter_name trainer.ref_model",
    ),
    **each(
        COMPUTED,
        """
            world_size num_total_batches micro_batch_size local_batch_size batch_size local_mini_batch_size
            mini_batch_size
        """,
    ),
    "trainer.model": to("model_name_or_path"),
    "trainer.reward_model": to("reward_model_name_or_path"),
    "trainer.value_model": to("critic", note="By default a copy of the reward model"),
    "eos_token": Unneeded("a completion ends with the EOS tokens of the generation config"),
    "remove_unused_columns": REMOVED,
    "chat_template_path": Unavailable("The policy has its chat template", "Save the template with the model"),
    "activation_offloading": SPEED,
    "dataset_num_proc": SPEED,
}


def ppo_batches(values: Values) -> Iterator[Decision]:
    """Yield sizes and numbers of steps. TRL's rollout has `num_ppo_epochs * num_mini_batches` optimizer steps.

    Args:
        values: the settings of TRL's `PPOConfig`.
    """
    size, passes, parts = (
        int(values[name]) for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "num_mini_batches")
    )
    sources = values.sources("per_device_train_batch_size", "gradient_accumulation_steps", "num_mini_batches")
    rollout = size * passes
    mini_batch = max(1, rollout // max(1, parts))
    size = next(one for one in range(min(size, mini_batch), 0, -1) if mini_batch % one == 0)
    yield Decision("per_device_train_batch_size", size, sources)
    yield Decision("gradient_accumulation_steps", mini_batch // size, sources)
    yield Decision("steps_per_generation", rollout // size, sources, f"{rollout} completions a rollout and process")
    yield Decision("num_iterations", int(values["num_ppo_epochs"]), ("num_ppo_epochs",))
    steps = int(values["num_ppo_epochs"]) * parts
    yield from _steps(values, steps, rollout * (values.processes or 1))


def _steps(values: Values, per_rollout: int, completions: int) -> Iterator[Decision]:
    counts = values.sources("num_ppo_epochs", "num_mini_batches")
    for name in ("logging_steps", "save_steps", "eval_steps", "warmup_steps"):
        if name in values.given:
            number = float(values[name])
            scaled = int(number * per_rollout) if number >= 1 else number
            yield Decision(name, scaled, (name, *counts), f"{per_rollout} optimizer steps a rollout")
    if values["total_episodes"] is not None:
        rollouts = math.ceil(int(values["total_episodes"]) / completions)
        started = "" if values.processes else ", on one process"
        yield Decision(
            "max_steps",
            rollouts * per_rollout,
            ("total_episodes", *counts),
            f"{rollouts} rollouts of {completions} completions{started}",
        )
    elif (values["max_steps"] or -1) > 0:
        yield Decision("max_steps", int(values["max_steps"]) * per_rollout, ("max_steps", *counts))


SYSTEMS = (
    System(
        "trl-reward",
        "TRL's RewardTrainer",
        "1.12, 1.13 and 1.16",
        "train",
        REWARD,
        {"use_peft": False, "learning_rate": 1e-4},
        (Constant("loss", "bradley_terry", "TRL's loss"),),
        aliases=ALIASES,
        steps=(IMPORT,),
    ),
    System(
        "trl-prm",
        "TRL's PRMTrainer",
        "0.24 and 1.13",
        "train",
        PRM,
        {"use_peft": False, "learning_rate": 1e-5},
        (Constant("loss", "step_cross_entropy", "cross-entropy of each step, with one logit in place of two"),),
        aliases=ALIASES,
        steps=(
            "The columns prompt, completions and labels are the same here (docs/how-to/step-rewards.md).",
            "The model becomes a sequence classifier with one score, in place of a token classifier with two labels.",
        ),
    ),
    System(
        "trl-ppo",
        "TRL's PPOTrainer",
        "0.24 and 1.12",
        "ppo",
        PPO,
        {
            "use_peft": False,
            "learning_rate": 3e-6,
            "response_length": 53,
            "temperature": 0.7,
            "kl_coef": 0.05,
            "lam": 0.95,
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 1,
            "num_mini_batches": 1,
            "num_ppo_epochs": 4,
        },
        (
            Constant("score_normalization", "none", "TRL does not normalize scores, and kl_coef is in their units"),
            Constant("critic_learning_rate_ratio", 1.0, "TRL has one learning rate for policy and value model"),
            Constant("score_truncated_with_eos", False, "TRL's reward model reads the tokens that were generated"),
        ),
        ppo_batches,
        ALIASES,
        (
            "The dataset has texts or conversations in a column prompt; a script that tokenizes it leaves that out.",
            "The defaults of rlhf-losses ppo learn faster than these settings on our tasks (docs/ppo.md#defaults): try "
            "it without beta, score_normalization, lam, value_lam and critic_learning_rate_ratio.",
        ),
    ),
)
