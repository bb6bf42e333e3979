"""`PPOConfig` with the settings of TRL 1.12's."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from transformers import TrainingArguments

from rlhf_losses.checks.setting_types import Range, require_finite_settings, require_ranges, require_setting_types
from rlhf_losses.compat.trl.ppo_settings import PPO_SETTINGS, translate_ppo_settings
from rlhf_losses.compat.trl.removed_settings import REMOVED_SETTINGS
from rlhf_losses.compat.trl.translated_setting import refuse_names, refuse_settings
from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.fingerprints.run_settings import process_count
from rlhf_losses.models.bfloat16 import choose_bf16
from rlhf_losses.models.inherited_defaults import prepare_defaults
from rlhf_losses.ppo import PPOConfig as OwnConfig
from rlhf_losses.ppo.config import refuse_unused_settings
from rlhf_losses.processes.launchers import connect_on_cpus, require_connectable

COMPUTED = "Refused: it is computed from other settings."


@dataclass
class PPOConfig(TrainingArguments):
    """Settings of `PPOTrainer` with the names, the units and the defaults of TRL 1.12.

    They are those of `transformers.TrainingArguments` and the following ones. `own_config` returns the settings of
    `rlhf_losses.PPOConfig` that they stand for; `PPO_SETTINGS` is the table of the names. Settings of TRL that have no
    place here raise an error that says why.

    Args:
        learning_rate: peak learning rate.
        dataset_num_proc: number of processes that read the prompts.
        num_mini_batches: number of optimizer steps of each epoch over a rollout.
        total_episodes: number of completions of the run; by default `num_train_epochs` times the number of prompts.
        local_rollout_forward_batch_size: largest number of texts in a forward pass of the reward model.
        num_sample_generations: number of tables with completions of the evaluation data, spread over the training.
        response_length: largest number of tokens of a completion.
        stop_token: `"eos"`, or None for the end tokens of the policy.
        stop_token_id: a token that ends a completion, as EOS does.
        temperature: temperature of the sampling.
        missing_eos_penalty: penalty subtracted from the score of a completion that does not end with an end token.
        sft_model_path: read by scripts only.
        reward_model_path: read by scripts only.
        num_ppo_epochs: number of epochs over each rollout.
        whiten_rewards: scale rewards to variance 1 over the tokens of a rollout.
        kl_coef: coefficient of the KL penalty in the reward of each token, in units of the scores.
        kl_estimator: estimator of the KL at a token, `"k1"` or `"k3"`.
        cliprange: clip range of the policy loss.
        vf_coef: weight of the value loss.
        cliprange_value: clip range of the value loss.
        gamma: discount factor per token.
        lam: decay factor of generalized advantage estimation.
        ds3_gather_for_generation: has no effect, because DeepSpeed is refused.
        exp_name: name of the run, where `run_name` is not set; of TRL 0.12 to 0.24.
        model_adapter_name: refused.
        ref_adapter_name: refused.
        batch_size: refused, as the following ones; the trainer computes them.
        local_batch_size: refused.
        micro_batch_size: refused.
        mini_batch_size: refused.
        local_mini_batch_size: refused.
        num_total_batches: refused.

    Raises:
        InvalidSettingError: a setting is refused or out of range, or two settings do not fit together.
    """

    logging_steps: float = field(default=1, metadata={"help": "Rollouts between two logs, or a share of the run."})
    gradient_checkpointing: bool = field(default=True, metadata={"help": "Compute activations twice to save memory."})
    bf16: bool | None = field(default=None, metadata={"help": "Compute in bfloat16; by default with an accelerator."})
    learning_rate: float = field(default=3e-6, metadata={"help": "Peak learning rate."})
    dataset_num_proc: int | None = field(default=None, metadata={"help": "Processes that read the prompts."})
    num_mini_batches: int = field(default=1, metadata={"help": "Optimizer steps of each epoch over a rollout."})
    total_episodes: int | None = field(default=None, metadata={"help": "Completions of the run."})
    local_rollout_forward_batch_size: int = field(
        default=64, metadata={"help": "Texts in a forward pass of the reward model."}
    )
    num_sample_generations: int = field(
        default=10, metadata={"help": "Tables with completions of the evaluation data during the training."}
    )
    response_length: int = field(default=53, metadata={"help": "Largest number of tokens of a completion."})
    stop_token: Literal["eos"] | None = field(default=None, metadata={"help": "Token that ends a completion: eos."})
    stop_token_id: int | None = field(default=None, metadata={"help": "Id of a token that ends a completion."})
    temperature: float = field(default=0.7, metadata={"help": "Temperature of the sampling."})
    missing_eos_penalty: float | None = field(
        default=None, metadata={"help": "Penalty for a completion that does not end with an end token."}
    )
    sft_model_path: str = field(default="EleutherAI/pythia-160m", metadata={"help": "Read by scripts only."})
    reward_model_path: str = field(default="EleutherAI/pythia-160m", metadata={"help": "Read by scripts only."})
    num_ppo_epochs: int = field(default=4, metadata={"help": "Epochs over each rollout."})
    whiten_rewards: bool = field(default=False, metadata={"help": "Scale rewards to variance 1."})
    kl_coef: float = field(default=0.05, metadata={"help": "Coefficient of the KL penalty, in units of the scores."})
    kl_estimator: Literal["k1", "k3"] = field(default="k1", metadata={"help": "Estimator of the KL: k1 or k3."})
    cliprange: float = field(default=0.2, metadata={"help": "Clip range of the policy loss."})
    vf_coef: float = field(default=0.1, metadata={"help": "Weight of the value loss."})
    cliprange_value: float = field(default=0.2, metadata={"help": "Clip range of the value loss."})
    gamma: float = field(default=1.0, metadata={"help": "Discount factor per token."})
    lam: float = field(default=0.95, metadata={"help": "Decay factor of generalized advantage estimation."})
    ds3_gather_for_generation: bool = field(default=True, metadata={"help": "No effect: DeepSpeed is refused."})
    exp_name: str | None = field(default=None, metadata={"help": "Name of the run, where run_name is not set."})

    model_adapter_name: str | None = field(default=None, metadata={"help": "Refused: the policy has one adapter."})
    ref_adapter_name: str | None = field(default=None, metadata={"help": "Refused: the policy has one adapter."})
    batch_size: int | None = field(default=None, metadata={"help": COMPUTED})
    local_batch_size: int | None = field(default=None, metadata={"help": COMPUTED})
    micro_batch_size: int | None = field(default=None, metadata={"help": COMPUTED})
    mini_batch_size: int | None = field(default=None, metadata={"help": COMPUTED})
    local_mini_batch_size: int | None = field(default=None, metadata={"help": COMPUTED})
    num_total_batches: int | None = field(default=None, metadata={"help": COMPUTED})

    def __new__(cls, *_: Any, **settings: Any) -> Self:
        """Refuse settings that have no place here before Python refuses their names."""
        refuse_names(settings, (*PPO_SETTINGS, *REMOVED_SETTINGS), (one.name for one in fields(cls)))
        return object.__new__(cls)

    def __post_init__(self) -> None:
        refuse_settings(vars(self), PPO_SETTINGS)
        require_setting_types(self, TrainingArguments)
        require_ranges(self, RANGES)
        require_finite_settings(self)
        refuse_unused_settings(self)
        if self.stop_token is not None and self.stop_token_id is not None:
            raise InvalidSettingError(
                f"stop_token='{self.stop_token}' and stop_token_id={self.stop_token_id} are both set, and each is the "
                "token that ends a completion. Omit one of them."
            )
        choose_bf16(self)
        prepare_defaults(self)
        self.bf16 = not self.fp16 if self.bf16 is None else self.bf16
        require_connectable()
        connect_on_cpus(self)
        super().__post_init__()

    def own_config(self, num_prompts: int | None) -> OwnConfig:
        """Return the configuration of `rlhf_losses.PPOTrainer` for these settings.

        Args:
            num_prompts: number of prompts of the training data; None for a stream.

        Raises:
            InvalidSettingError: a setting is refused, or the run has no end.
        """
        general = {one.name: getattr(self, one.name) for one in fields(TrainingArguments) if one.init}
        all_settings = {one.name: getattr(self, one.name) for one in fields(self)}
        return OwnConfig(**general | translate_ppo_settings(all_settings, num_prompts, process_count(self)))


RANGES = {
    "num_mini_batches": Range(1, "An epoch has at least one optimizer step."),
    "num_ppo_epochs": Range(1, "Without an epoch, nothing is learned from a rollout."),
    "total_episodes": Range(1, "A run has at least one completion."),
    "local_rollout_forward_batch_size": Range(1, "A forward pass has at least one text."),
    "num_sample_generations": Range(0, "It is a number of tables."),
    "response_length": Range(1, "A completion has at least one token."),
    "stop_token_id": Range(0, "It is the id of a token."),
    "dataset_num_proc": Range(1, "It is a number of processes; None is one."),
}
"""Range of each setting that `rlhf_losses.PPOConfig` does not check under another name."""
