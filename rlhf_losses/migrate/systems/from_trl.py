"""TRL: `trl reward` and `RewardTrainer`, and `PPOTrainer` and `PRMTrainer`, which it has removed."""

from collections.abc import Iterable, Iterator, Mapping

from rlhf_losses.compat.trl.ppo_settings import PPO_SETTINGS, STEP_SETTINGS, translate_ppo_settings
from rlhf_losses.compat.trl.prm_settings import PRM_SETTINGS
from rlhf_losses.compat.trl.translated_setting import Kind, TranslatedSetting
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
)
from rlhf_losses.migrate.systems.training_arguments import LAUNCHER, REMOVED, SPEED, TRAINING_ARGUMENTS, for_ppo, split

IMPORT = "In a script, change the import only: from rlhf_losses import RewardConfig, RewardTrainer."

MODEL: Mapping[str, Rule] = {
    **same(
        """
            model_name_or_path model_revision dtype attn_implementation use_peft lora_r lora_alpha lora_dropout
            lora_target_modules lora_target_parameters lora_modules_to_save use_rslora use_dora load_in_8bit
            load_in_4bit bnb_4bit_quant_type use_bnb_nested_quant bnb_4bit_quant_storage trust_remote_code dataset_name
            dataset_config dataset_streaming datasets streaming test_split_size
            dataset_num_proc model_init_kwargs disable_dropout
        """,
    ),
    "dataset_train_split": split("dataset_train_split"),
    "dataset_test_split": split("dataset_test_split"),
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
    "train_dataset.split": split("dataset_train_split"),
    "train_dataset.name": to("dataset_config"),
    "eval_dataset.split": split("dataset_test_split"),
    "eval_dataset.name": to("dataset_config"),
    **each(
        Unavailable("dataset_name names files itself", "Set dataset_name to a file, a folder or a pattern"),
        "train_dataset.data_files train_dataset.data_dir eval_dataset.data_files eval_dataset.data_dir",
    ),
    **each(to("dataset_streaming"), "train_dataset.streaming eval_dataset.streaming"),
}
"""Arguments of the constructor of a trainer, and of `load_dataset`, in a script."""

PROCESSES: Mapping[str, Rule] = {
    **each(
        LAUNCHER,
        "accelerate_config num_processes num_machines machine_rank main_process_ip main_process_port gpu_ids multi_gpu",
    ),
    "mixed_precision": Unneeded("bf16 is on where the device supports it"),
}
"""Arguments of `accelerate launch` that TRL's command line takes."""

SHARED: Mapping[str, Rule] = {**TRAINING_ARGUMENTS, **MODEL, **LORA, **TRAINER, **PROCESSES}

CRITIC = (
    "TRL has one learning rate and one lam for policy and critic. Here the critic has the defaults of rlhf-losses ppo, "
    "as in rlhf_losses.compat.trl, because they learn more (docs/measured.md): ten times the learning rate, and sums "
    "of the later rewards as targets. For those of TRL, set critic_learning_rate_ratio: 1, and value_lam as lam."
)

ALIASES = {"model": "model_name_or_path", "dataset": "dataset_name"}

OLD_PPO_NAMES = {
    **ALIASES,
    "model_name": "model_name_or_path",
    "ppo_epochs": "num_ppo_epochs",
    "init_kl_coef": "kl_coef",
    "log_with": "report_to",
}
"""Names of TRL below 0.12."""

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


def _from_table(settings: Iterable[TranslatedSetting]) -> dict[str, Rule]:
    """Return the rules of settings that have the same or another name, or none, in `rlhf_losses.compat.trl`."""
    rules: dict[str, Rule] = {}
    for one in settings:
        if one.kind in (Kind.SAME, Kind.RENAMED):
            rules[one.name] = to(one.here[0], note=one.note.rstrip("."))
        elif one.kind is Kind.REFUSED:
            reason, _, action = one.note.rstrip(".").partition(". ")
            rules[one.name] = Unavailable(reason, action or "Leave it out", (one.default, False, ""))
        elif one.kind is Kind.COUNTED:
            rules[one.name] = Joint(one.here, one.note.rstrip("."))
        elif one.kind is Kind.TRAINER:
            reason = f"Only rlhf_losses.compat.trl has it. {one.note.rstrip('.')}"
            action = "Keep the script, with the import changed, or change the data in the same way"
            rules[one.name] = Unavailable(reason, action, (one.default, None, False, ""))
    return rules


PRM: Mapping[str, Rule] = {
    **REWARD,
    **_from_table(PRM_SETTINGS),
    "max_length": to("max_length", note="Longer rows are dropped, and counted; TRL truncates them"),
}


PPO: Mapping[str, Rule] = {
    **SHARED,
    **_from_table(PPO_SETTINGS),
    **each(
        Joint(
            ("model_name_or_path",),
            "The policy; with sft_model_path, model_name_or_path is that of the tokenizer",
        ),
        "trainer.model sft_model_path model_name_or_path",
    ),
    "reward_model_path": to("reward_model_name_or_path"),
    "num_train_epochs": to("num_train_epochs", note="It has no effect with total_episodes"),
    "num_ppo_epochs": Joint(("num_iterations",), "Epochs of a rollout"),
    "local_rollout_forward_batch_size": Unneeded("texts are scored in batches of the same size as in training"),
    "num_sample_generations": Unavailable("Tables of completions are logged", "Set log_completions: true", (0, None)),
    "stop_token": choice(
        "",
        {"eos": Unneeded("a completion ends with EOS"), None: Unneeded("a completion ends with EOS")},
        Unavailable("A completion ends with the EOS tokens of the generation config", "Change generation_config.json"),
    ),
    "stop_token_id": Unavailable(
        "A completion ends with the EOS tokens of the generation config",
        "Change eos_token_id in generation_config.json",
    ),
    "trainer.ref_model": Unavailable(
        "The reference is the policy at the start", "Leave it out if it is the same model", same_as="trainer.model"
    ),
    "trainer.reward_model": to("reward_model_name_or_path"),
    "trainer.value_model": to("critic", note="By default a copy of the reward model"),
    "target": to("kl_target", note="TRL below 0.12"),
    "horizon": to("kl_horizon", note="TRL below 0.12"),
    "adap_kl_ctrl": Unneeded("kl_target makes the coefficient adaptive"),
    "eos_token": Unneeded("a completion ends with the EOS tokens of the generation config"),
    "remove_unused_columns": REMOVED,
    "chat_template_path": Unavailable("The policy has its chat template", "Save the template with the model"),
    "activation_offloading": SPEED,
    "dataset_num_proc": SPEED,
}


def ppo_decisions(values: Values) -> Iterator[Decision]:
    """Yield sizes and numbers of steps. TRL's rollout has `num_ppo_epochs * num_mini_batches` optimizer steps.

    Args:
        values: the settings of TRL's `PPOConfig`.
    """
    for name in ("trainer.model", "sft_model_path", "model_name_or_path"):
        if values[name] is not None:
            yield Decision("model_name_or_path", str(values[name]), (name,))
            break
    sizes = ("per_device_train_batch_size", "gradient_accumulation_steps", "num_mini_batches")
    epochs, counts = "num_ppo_epochs", values.sources("num_ppo_epochs", "num_mini_batches")
    given = {name: values[name] for name in (*sizes, epochs, *STEP_SETTINGS) if values[name] is not None}
    episodes = values["total_episodes"]
    here = translate_ppo_settings({**given, "total_episodes": episodes or 1}, num_processes=values.processes or 1)
    rollout = here["per_device_train_batch_size"] * here["steps_per_generation"]
    yield Decision("num_iterations", here["num_iterations"], (epochs,))
    for name in ("per_device_train_batch_size", "gradient_accumulation_steps"):
        yield Decision(name, here[name], values.sources(*sizes))
    reason = f"{rollout} completions a rollout and process"
    yield Decision("steps_per_generation", here["steps_per_generation"], values.sources(*sizes), reason)
    for name in STEP_SETTINGS:
        if name in values.given:
            yield Decision(name, here[name], (name, *counts), "TRL counts rollouts")
    if episodes is not None:
        reason = f"on {values.processes} processes" if values.processes else "on one process"
        yield Decision("max_steps", here["max_steps"], ("total_episodes", *counts), reason)


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
        for_ppo(PPO),
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
            Constant("score_truncated_with_eos", False, "TRL's reward model reads the tokens that were generated"),
        ),
        ppo_decisions,
        OLD_PPO_NAMES,
        (
            "The dataset has texts or conversations in a column prompt, which are tokenized here.",
            CRITIC,
            "The defaults of rlhf-losses ppo learn faster than these settings on our tasks (docs/ppo.md#defaults): try "
            "it without beta, score_normalization and lam.",
        ),
    ),
)
