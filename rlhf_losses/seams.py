"""Every name of TRL and transformers that we override or call without a promise that it stays.

A test resolves each one on the installed versions, so an upstream change fails there first.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Seam:
    """A dotted upstream name and what we do with it."""

    name: str
    why: str


SEAMS: tuple[Seam, ...] = (
    Seam("trl.RewardTrainer.compute_loss", "prices scores with any loss"),
    Seam("trl.RewardTrainer._prepare_dataset", "reads every kind of feedback"),
    Seam("trl.RewardTrainer._set_signature_columns_if_needed", "keeps the columns that a batch is made of"),
    Seam("trl.RewardTrainer.log", "hands over exact means to TRL's metrics"),
    Seam("transformers.Trainer.loss_is_scaled_for_ga", "says that the loss is a mean over the whole optimizer step"),
    Seam("transformers.Trainer._get_num_items_in_batch", "counts the items of an optimizer step, term by term"),
    Seam("transformers.Trainer.evaluation_loop", "replaces the mean of batch means by the mean"),
    Seam("transformers.Trainer.prediction_step", "gives one row of scores a data row"),
    Seam("transformers.Trainer._save", "writes reward_model.json beside the weights"),
    Seam("transformers.Trainer._load_from_checkpoint", "takes the learned numbers from there"),
    Seam("transformers.Trainer.create_optimizer", "moves the numbers that a loss learns, too"),
    Seam("transformers.Trainer.training_step", "is run once a forward pass, where a batch is cut into several"),
    Seam("transformers.PreTrainedModel._supports_attention_backend", "says that attention is entered by name"),
    Seam(
        "transformers.PreTrainedModel._supports_flash_attn", "says that windows and caps are told to attention by name"
    ),
    Seam("trl.GRPOTrainer._calculate_rewards", "keeps the scores, which come back gathered from all processes"),
    Seam("trl.GRPOTrainer._generate_and_score_completions", "puts the critic's advantages in the place of the group's"),
    Seam("trl.GRPOTrainer._generate", "is timed"),
    Seam("trl.GRPOTrainer._compute_loss", "adds the value loss; takes advantages for every token"),
    Seam("trl.GRPOTrainer._get_per_token_logps_and_entropies", "gives the policy's log-probabilities at rollout"),
    Seam("trl.GRPOTrainer.beta", "is 0 during the loss, which has no KL penalty in PPO"),
    Seam("trl.GRPOTrainer.reward_weights", "weigh the reward functions"),
    Seam("trl.GRPOTrainer._step", "counts micro-batches, so that a resumed run is in the middle of its rollout again"),
    Seam("trl.GRPOTrainer._buffered_inputs", "is the rollout; it is saved, resumed, and given up"),
    Seam("trl.GRPOTrainer._metrics", "collects what is logged"),
    Seam("trl.GRPOTrainer._logs", "holds the table of completions, with an advantage each"),
    Seam("trl.GRPOTrainer._tokenizer", "is compared with the critic's"),
    Seam("trl.GRPOTrainer._is_vlm", "says that the policy reads images, which the critic does not"),
    Seam("trl.GRPOTrainer._name", "names the method on the model card"),
    Seam("trl.GRPOTrainer._tag_names", "tags the model card"),
    Seam("trl.GRPOTrainer._paper", "is cited on the model card"),
    Seam("trl.models.utils.disable_gradient_checkpointing", "spares the rollout what only gradients need"),
    Seam("trl.trainer.utils.disable_dropout_in_model", "keeps the critic's values those of the rollout"),
    Seam("trl.trainer.utils.get_config_model_id", "tells from where the reference will be loaded"),
    Seam(
        "peft.tuners.tuners_utils.BaseTunerLayer._get_available_adapters",
        "tells which adapters a copy of the policy has beside the one that the critic goes on with",
    ),
    Seam("transformers.Trainer.current_gradient_accumulation_steps", "counts the micro-batches of an optimizer step"),
    Seam("transformers.Trainer._clip_grad_norm", "clips policy and critic together"),
    Seam("transformers.Trainer._get_grad_norm", "measures the gradients of policy and critic together"),
    Seam("transformers.Trainer._save_optimizer_and_scheduler", "saves the critic beside the optimizer's state"),
    Seam("transformers.Trainer._load_optimizer_and_scheduler", "loads it again"),
    Seam("bitsandbytes.nn.Linear4bit.support_avx512bf16_for_cpu", "is switched off where 4-bit weights train on a CPU"),
)
