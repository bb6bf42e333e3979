"""Every name of TRL and transformers that we override or call without a promise that it stays.

A test resolves each one on the installed versions, so an upstream change fails there first.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class UpstreamName:
    """A dotted upstream name and what we do with it."""

    name: str
    why: str


UPSTREAM_NAMES: tuple[UpstreamName, ...] = (
    UpstreamName("trl.RewardTrainer.compute_loss", "prices scores with any loss"),
    UpstreamName("trl.RewardTrainer._prepare_dataset", "reads every kind of feedback"),
    UpstreamName("trl.RewardTrainer._set_signature_columns_if_needed", "keeps the columns that a batch is made of"),
    UpstreamName("trl.RewardTrainer.log", "hands over exact means to TRL's metrics"),
    UpstreamName(
        "transformers.Trainer.loss_is_scaled_for_ga", "says that the loss is a mean over the whole optimizer step"
    ),
    UpstreamName("transformers.Trainer._get_num_items_in_batch", "counts the items of an optimizer step, term by term"),
    UpstreamName("transformers.Trainer.evaluation_loop", "replaces the mean of batch means by the mean"),
    UpstreamName("transformers.Trainer.prediction_step", "gives one row of scores a data row"),
    UpstreamName("transformers.Trainer._save", "writes reward_model.json beside the weights"),
    UpstreamName("transformers.Trainer._load_from_checkpoint", "takes the learned numbers from there"),
    UpstreamName("transformers.Trainer.create_optimizer", "moves the numbers that a loss learns, too"),
    UpstreamName("transformers.Trainer.training_step", "is run once a forward pass, where a batch is cut into several"),
    UpstreamName("transformers.PreTrainedModel._supports_attention_backend", "says that attention is entered by name"),
    UpstreamName(
        "transformers.PreTrainedModel._supports_flash_attn", "says that windows and caps are told to attention by name"
    ),
    UpstreamName("trl.GRPOTrainer._calculate_rewards", "keeps the scores, which come back gathered from all processes"),
    UpstreamName(
        "trl.GRPOTrainer._generate_and_score_completions", "puts the critic's advantages in the place of the group's"
    ),
    UpstreamName("trl.GRPOTrainer._generate", "is timed"),
    UpstreamName("trl.GRPOTrainer._compute_loss", "adds the value loss; takes advantages for every token"),
    UpstreamName(
        "trl.GRPOTrainer._get_per_token_logps_and_entropies", "gives the policy's log-probabilities at rollout"
    ),
    UpstreamName("trl.GRPOTrainer.beta", "is 0 during the loss, which has no KL penalty in PPO"),
    UpstreamName("trl.GRPOTrainer.reward_weights", "weigh the reward functions"),
    UpstreamName(
        "trl.GRPOTrainer._step", "counts micro-batches, so that a resumed run is in the middle of its rollout again"
    ),
    UpstreamName("trl.GRPOTrainer._buffered_inputs", "is the rollout; it is saved, resumed, and given up"),
    UpstreamName("trl.GRPOTrainer._metrics", "collects what is logged"),
    UpstreamName("trl.GRPOTrainer._logs", "holds the table of completions, with an advantage each"),
    UpstreamName("trl.GRPOTrainer._tokenizer", "is compared with the critic's"),
    UpstreamName("trl.GRPOTrainer._is_vlm", "says that the policy reads images, which the critic does not"),
    UpstreamName("trl.GRPOTrainer._name", "names the method on the model card"),
    UpstreamName("trl.GRPOTrainer._tag_names", "tags the model card"),
    UpstreamName("trl.GRPOTrainer._paper", "is cited on the model card"),
    UpstreamName("trl.models.utils.disable_gradient_checkpointing", "spares the rollout what only gradients need"),
    UpstreamName("trl.trainer.utils.disable_dropout_in_model", "keeps the critic's values those of the rollout"),
    UpstreamName("trl.trainer.utils.get_config_model_id", "tells from where the reference will be loaded"),
    UpstreamName(
        "peft.tuners.tuners_utils.BaseTunerLayer._get_available_adapters",
        "tells which adapters a copy of the policy has beside the one that the critic goes on with",
    ),
    UpstreamName(
        "transformers.Trainer.current_gradient_accumulation_steps", "counts the micro-batches of an optimizer step"
    ),
    UpstreamName("transformers.Trainer._clip_grad_norm", "clips policy and critic together"),
    UpstreamName("transformers.Trainer._get_grad_norm", "measures the gradients of policy and critic together"),
    UpstreamName("transformers.Trainer._save_optimizer_and_scheduler", "saves the critic beside the optimizer's state"),
    UpstreamName("transformers.Trainer._load_optimizer_and_scheduler", "loads it again"),
    UpstreamName(
        "bitsandbytes.nn.Linear4bit.support_avx512bf16_for_cpu", "is switched off where 4-bit weights train on a CPU"
    ),
)
