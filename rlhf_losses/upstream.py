"""Unstable names of TRL, transformers, PEFT, accelerate, bitsandbytes and tqdm that this package overrides or uses.

A test resolves each name in the installed versions, so an upstream change makes that test fail first.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class UpstreamName:
    """A dotted upstream name and its use in this package.

    Attributes:
        name: the dotted name.
        use: how this package uses it.
    """

    name: str
    use: str


UPSTREAM_NAMES: tuple[UpstreamName, ...] = (
    UpstreamName("tqdm.tqdm._instances", "read: the progress bars that an error has left open"),
    UpstreamName("trl.RewardTrainer.compute_loss", "overridden: computes any loss from the scores"),
    UpstreamName("trl.RewardTrainer._prepare_dataset", "overridden: tokenizes rows with any feedback type"),
    UpstreamName("trl.RewardTrainer._set_signature_columns_if_needed", "overridden: keeps the columns of the collator"),
    UpstreamName("trl.RewardTrainer.log", "overridden: adds exact means to TRL's metrics"),
    UpstreamName("transformers.Trainer.loss_is_scaled_for_ga", "set: the loss is a mean over the whole optimizer step"),
    UpstreamName(
        "transformers.Trainer._get_num_items_in_batch", "overridden: counts the items of an optimizer step per term"
    ),
    UpstreamName(
        "transformers.Trainer.evaluation_loop", "overridden: reports the mean over all items, not over batches"
    ),
    UpstreamName("transformers.Trainer.prediction_step", "overridden: returns one row of scores per data row"),
    UpstreamName(
        "transformers.Trainer._get_grad_norm",
        "overridden: stops before a step with NaN or infinity; in PPO the norm is that of policy and critic",
    ),
    UpstreamName("transformers.Trainer._save", "overridden: writes reward_model.json, and removes stale weights"),
    UpstreamName(
        "transformers.Trainer._push_from_checkpoint", "overridden: pushes whole checkpoints, without stale weights"
    ),
    UpstreamName("transformers.Trainer._save_checkpoint", "overridden: writes a manifest last, and rotates after it"),
    UpstreamName("transformers.Trainer._get_output_dir", "called: the folder of the checkpoints of a run"),
    UpstreamName(
        "transformers.Trainer._init_training_state", "overridden: the position in a stream that is read several times"
    ),
    UpstreamName("transformers.Trainer._load_best_model", "overridden: refuses a damaged checkpoint"),
    UpstreamName("transformers.Trainer._load_rng_state", "overridden: one message for a file that is not readable"),
    UpstreamName("transformers.Trainer._load_scaler", "overridden: one message for a file that is not readable"),
    UpstreamName("transformers.Trainer._tr_loss", "saved and restored: sum of the losses since the last log"),
    UpstreamName("transformers.Trainer._total_loss_scalar", "saved and restored: sum of the logged losses"),
    UpstreamName("transformers.Trainer._globalstep_last_logged", "saved and restored: step of the last log"),
    UpstreamName("transformers.trainer_pt_utils.safe_globals", "called: reads the states of random numbers"),
    UpstreamName("trl.trainer.utils.create_model_from_path", "called: loads a model whose embeddings are resized"),
    UpstreamName(
        "transformers.Trainer._load_from_checkpoint",
        "overridden: loads the loss parameters from reward_model.json, and refuses a model in another form",
    ),
    UpstreamName("transformers.Trainer.create_optimizer", "overridden: adds the loss parameters to the optimizer"),
    UpstreamName("transformers.Trainer.training_step", "called once per forward pass of a split batch"),
    UpstreamName(
        "transformers.PreTrainedModel._supports_attention_backend", "read: the model uses the AttentionInterface"
    ),
    UpstreamName(
        "transformers.PreTrainedModel._supports_flash_attn",
        "read: the model passes sliding windows and soft-capping as arguments to the attention function",
    ),
    UpstreamName(
        "transformers.PreTrainedConfig._attn_implementation", "read: name of the attention function of a model"
    ),
    UpstreamName(
        "trl.GRPOTrainer._tokenize_prompts",
        "overridden: renders prompts with the arguments of their rows",
    ),
    UpstreamName("trl.GRPOTrainer._calculate_rewards", "overridden: keeps the scores gathered from all processes"),
    UpstreamName(
        "trl.GRPOTrainer._generate_and_score_completions", "overridden: replaces the group advantages by the critic's"
    ),
    UpstreamName("trl.GRPOTrainer._generate", "overridden: its completions get the text that the policy wrote"),
    UpstreamName("trl.GRPOTrainer._compute_loss", "overridden: adds the value loss; accepts one advantage per token"),
    UpstreamName(
        "trl.GRPOTrainer._get_per_token_logps_and_entropies",
        "overridden: computes log-probabilities in any layout and records those of the policy",
    ),
    UpstreamName(
        "trl.trainer.grpo_trainer.create_model_from_path", "replaced while a trainer with a given reference is created"
    ),
    UpstreamName("trl.GRPOTrainer.beta", "set to 0 during the loss: PPO has no KL penalty in the loss"),
    UpstreamName("trl.GRPOTrainer.reward_weights", "read: weights of the reward functions"),
    UpstreamName("trl.GRPOTrainer.temperature", "read: the logits of packed sequences are divided by it"),
    UpstreamName("trl.GRPOTrainer.aux_loss_enabled", "read: the load-balancing loss of experts needs padded sequences"),
    UpstreamName(
        "trl.GRPOTrainer._step", "set on resume: number of micro-batches, which gives the position in the rollout"
    ),
    UpstreamName("trl.GRPOTrainer._buffered_inputs", "saved, restored and cleared: the current rollout"),
    UpstreamName("trl.GRPOTrainer._metrics", "extended: the metrics to log"),
    UpstreamName("trl.GRPOTrainer._logs", "extended: the table of completions, with an advantage each"),
    UpstreamName("trl.GRPOTrainer._tokenizer", "read: compared with the tokenizer of the critic"),
    UpstreamName("trl.GRPOTrainer._is_vlm", "read: policies with images raise an error"),
    UpstreamName("trl.GRPOTrainer._get_train_sampler", "overridden: the order of the prompts after a resume"),
    UpstreamName("trl.GRPOTrainer._tag_names", "set: tags of the model"),
    UpstreamName("trl.RewardTrainer.create_model_card", "overridden: writes the card of this package"),
    UpstreamName("trl.GRPOTrainer.create_model_card", "overridden: writes the card of this package"),
    UpstreamName(
        "trl.models.utils.disable_gradient_checkpointing", "called: no gradient checkpointing during the rollout"
    ),
    UpstreamName("trl.trainer.utils.disable_dropout_in_model", "called: the values of the critic do not change"),
    UpstreamName("trl.trainer.utils.get_config_model_id", "called: path of the reference model"),
    UpstreamName(
        "peft.tuners.tuners_utils.BaseTunerLayer._get_available_adapters",
        "called: adapters of a copy of the policy other than the adapter of the critic",
    ),
    UpstreamName("transformers.Trainer.current_gradient_accumulation_steps", "read: number of micro-batches of a step"),
    UpstreamName("transformers.Trainer._clip_grad_norm", "overridden: clips policy and critic together"),
    UpstreamName("transformers.Trainer._save_optimizer_and_scheduler", "overridden: saves the critic as well"),
    UpstreamName("transformers.Trainer._load_optimizer_and_scheduler", "overridden: loads the critic as well"),
    UpstreamName(
        "accelerate.Accelerator._original_forward",
        "read: forward method of a model before it was prepared for mixed precision",
    ),
    UpstreamName("datasets.Dataset._indices", "read: the order of the rows of a shuffled dataset, for their hash"),
    UpstreamName(
        "transformers.integrations.deepspeed._hf_deepspeed_config_weak_ref",
        "unset while a reward model is loaded: ZeRO-3 would divide its weights over the processes",
    ),
    UpstreamName("peft.utils.integrations.gather_params_ctx", "called: whole weights in a run with ZeRO-3"),
    UpstreamName(
        "bitsandbytes.nn.Linear4bit.support_avx512bf16_for_cpu", "set to False: 4-bit weights stay trainable on a CPU"
    ),
)
