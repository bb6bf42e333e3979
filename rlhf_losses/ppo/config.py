"""`PPOConfig`: TRL's `GRPOConfig` with the settings and the defaults of PPO."""

import os
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import trl
from transformers import TrainingArguments
from transformers.training_args import ParallelMode

from rlhf_losses.checkpoints.stopping import parse_duration
from rlhf_losses.checks.setting_types import Range, require_finite_settings, require_ranges, require_setting_types
from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.layouts import LayoutName, require_layout
from rlhf_losses.models.bfloat16 import choose_bf16
from rlhf_losses.models.inherited_defaults import prepare_defaults
from rlhf_losses.ppo.kl import ESTIMATORS
from rlhf_losses.ppo.rewards import Standardized
from rlhf_losses.processes.launchers import connect_on_cpus, require_connectable, require_connected

CLIPPED_SURROGATES = ("dapo", "bnpo", "grpo", "dr_grpo")
"""Loss types of TRL with PPO's clipped objective; they differ in how tokens are averaged."""

NORMALIZATIONS = ("none", "running", "reference")
"""Values of `score_normalization`."""

LEARNING_RATE, ADAPTER_LEARNING_RATE = 3e-6, 1e-5
"""Default learning rates of the policy if all weights or adapters are trained."""

PUBLISHED: Mapping[str, Any] = {
    "adam_epsilon": 1e-5,
    "beta": 0.05,
    "cliprange_value": 0.2,
    "critic_learning_rate_ratio": 1.0,
    "epsilon": 0.2,
    "gamma": 1.0,
    "kl_estimator": "k1",
    "lam": 0.95,
    "learning_rate": 3e-6,
    "lr_scheduler_type": "linear",
    "missing_eos_score": -1.0,
    "num_iterations": 4,
    "score_normalization": "none",
    "temperature": 0.7,
    "value_lam": 0.95,
    "vf_coef": 0.1,
    "whiten_advantages": True,
    "whiten_rewards": False,
}
"""Settings of Huang et al. (2024), https://arxiv.org/abs/2403.17031."""


@dataclass
class PPOConfig(trl.GRPOConfig):
    """Settings of `PPOTrainer`: those of TRL's `GRPOConfig` and the following ones.

    Other settings of `GRPOConfig` keep their names and defaults. In PPO the KL penalty is part of the reward of each
    token, not a term of the loss; `beta` is its coefficient. `scale_rewards` has no effect, because it applies to the
    group advantages of GRPO. `bf16` is False by default on a machine without an accelerator for it.

    Args:
        num_generations_eval: completions per prompt in evaluation; by default as many as in training.
        vf_coef: weight of the value loss.
        cliprange_value: clip range of the value loss: a value that has moved further towards its return since the
            rollout has no gradient.
        gamma: discount factor per token; 1 for no discount.
        lam: decay factor of generalized advantage estimation; 1 is the return minus the value, 0 the one-step error.
        value_lam: the same for the returns that the critic is trained on. With 1 they are the sums of the later
            rewards, which do not depend on the critic, so a critic without information at the start learns faster.
        kl_estimator: estimator of the KL at a token: `"k1"` is the log ratio, which is unbiased; `"k2"` half its
            square; `"k3"` is unbiased and never negative.
        kl_target: target of the adaptive KL controller, in nats per completion; by default `beta` is fixed.
        kl_horizon: horizon of the adaptive KL controller, in completions.
        early_stop_kl: discard a rollout and generate a new one if `approx_kl` of an optimizer step is larger; by
            default never.
        score_normalization: `"running"` to standardize the weighted sum of the rewards of a completion with its running
            mean and standard deviation, so that `beta` and the settings of the value loss mean the same for any scale
            and offset of the scores, and to fit the initial values of the critic to the first rollout; with
            `multi_objective_aggregation="normalize_then_sum"` each reward function is standardized before the sum.
            `"reference"` to standardize each reward model with its reference samples (see `fit_reference`). `"none"`
            for neither.
        score_clip: clip scores to plus or minus this value, after normalization.
        missing_eos_penalty: penalty subtracted from the score of a completion that does not end with EOS.
        missing_eos_score: score of a completion that does not end with EOS, in place of its own.
        score_truncated_with_eos: whether a `Scorer` reads a completion without EOS as if it ended with EOS. Reward
            functions receive the column `completion_cut_off` if not.
        bootstrap_truncated: for a completion without EOS, add the critic's value after the last token to the return.
        whiten_rewards: scale rewards to variance 1 over all tokens of the rollout; their mean stays.
        whiten_advantages: shift and scale advantages to mean 0 and variance 1 over all tokens of the rollout.
        shared_critic: use a value head on the policy's transformer, which both losses train, instead of a separate
            critic.
        critic_warmup_steps: number of optimizer steps at the start that train only the critic.
        critic_learning_rate: peak learning rate of the critic; by default `critic_learning_rate_ratio` times
            `learning_rate`.
        critic_learning_rate_ratio: learning rate of the critic divided by that of the policy.
        allow_changed: names of what may differ from the checkpoint when a run resumes, such as
            `["learning_rate", "train_dataset"]`. By default a difference that changes the result is an error.
        sanity_check: print a breakdown of the first rollout.
        stop_after: save a checkpoint and end after this time, for example `"3h30m"`, `"90m"` or a number of seconds,
            counted from the creation of the trainer; by default never.
        skip_nonfinite: largest number of optimizer steps to skip because a gradient is NaN or infinite; a further one
            stops the run before the optimizer step.
        log_phase_times: log the share of time in generation, scoring, reference, policy, critic and update, and print
            it at the end.
        layout: arrangement of prompts and completions in forward passes: `"padded"`; `"packed"`, without padding;
            `"prefix_shared"`, without padding and with common prefixes computed once; `"auto"`, the fastest one that
            the models support. The results are the same.
        ptx_coef: weight of the next-token cross-entropy on pretraining texts (PPO-ptx); with 0 it is logged only.
        ptx_max_length: maximum length of a pretraining text, in tokens; longer texts are cut into several.
        learning_rate: peak learning rate of the policy; by default 3e-6 if all weights are trained, and 1e-5 for
            adapters.
        beta: coefficient of the KL penalty in the reward of each token, in units of the normalized rewards; with 0 no
            reference is loaded.
        num_iterations: number of PPO epochs per rollout. An epoch has `steps_per_generation /
            gradient_accumulation_steps` optimizer steps, by default 1. `max_steps` counts optimizer steps.
        num_generations: completions per prompt; 1 is enough, because PPO compares completions with the critic.
        disable_dropout: disable dropout, which would change log-probabilities between rollout and training.
        loss_type: average over tokens. `"dapo"` is the mean over all tokens of an optimizer step, for any number of
            micro-batches; the value loss always uses it.

    Raises:
        InvalidSettingError: a value is out of range, or not applicable to PPO.

    References:
        Huang et al. (2024), https://arxiv.org/abs/2403.17031, whose settings `published` returns. The defaults that
        differ are in a table of the documentation of PPO. Separate decay factors: Yuan et al. (2025),
        https://arxiv.org/abs/2503.01491.

    Examples:
        >>> PPOConfig.num_generations, PPOConfig.num_iterations, PPOConfig.beta
        (1, 4, 0.01)
    """

    num_generations_eval: int | None = field(
        default=None, metadata={"help": "Completions per prompt in evaluation; by default as many as in training."}
    )
    vf_coef: float = field(default=0.1, metadata={"help": "Weight of the value loss."})
    cliprange_value: float = field(default=0.2, metadata={"help": "Clip range of the value loss."})
    gamma: float = field(default=1.0, metadata={"help": "Discount factor per token."})
    lam: float = field(default=0.95, metadata={"help": "Decay factor of generalized advantage estimation."})
    value_lam: float = field(default=1.0, metadata={"help": "Decay factor in the regression targets of the critic."})
    kl_estimator: str = field(
        default="k1", metadata={"help": f"Estimator of the KL at a token: {', '.join(ESTIMATORS)}."}
    )
    kl_target: float | None = field(
        default=None,
        metadata={"help": "Target of the adaptive KL controller, in nats per completion; by default beta is fixed."},
    )
    kl_horizon: float = field(
        default=10_000, metadata={"help": "Horizon of the adaptive KL controller, in completions."}
    )
    early_stop_kl: float | None = field(
        default=None,
        metadata={"help": "Discard a rollout if approx_kl of an optimizer step is larger; by default never."},
    )
    score_normalization: str = field(
        default="running", metadata={"help": f"Normalization of scores: {', '.join(NORMALIZATIONS)}."}
    )
    score_clip: float | None = field(
        default=None, metadata={"help": "Clip scores to plus or minus this value, after normalization."}
    )
    missing_eos_penalty: float | None = field(
        default=None,
        metadata={"help": "Penalty subtracted from the score of a completion that does not end with EOS."},
    )
    missing_eos_score: float | None = field(
        default=None, metadata={"help": "Score of a completion that does not end with EOS, in place of its own."}
    )
    score_truncated_with_eos: bool = field(
        default=True,
        metadata={"help": "Whether reward models read a completion without EOS as if it ended with EOS."},
    )
    bootstrap_truncated: bool = field(
        default=False,
        metadata={"help": "For a completion without EOS, add the critic's value after the last token to the return."},
    )
    whiten_rewards: bool = field(
        default=False, metadata={"help": "Scale rewards to variance 1 over the tokens of a rollout."}
    )
    shared_critic: bool = field(
        default=False, metadata={"help": "Use a value head on the policy's transformer instead of a separate critic."}
    )
    critic_warmup_steps: int = field(
        default=0, metadata={"help": "Number of optimizer steps at the start that train only the critic."}
    )
    sanity_check: bool = field(default=True, metadata={"help": "Print a breakdown of the first rollout."})
    stop_after: str | None = field(
        default=None,
        metadata={"help": "Save a checkpoint and end after this time, for example 3h30m; by default never."},
    )
    skip_nonfinite: int = field(
        default=0,
        metadata={"help": "Largest number of optimizer steps to skip because of NaN or infinity. Default: none."},
    )
    log_phase_times: bool = field(
        default=False, metadata={"help": "Log and print the share of time in each phase of a step."}
    )
    layout: LayoutName = field(
        default="auto",
        metadata={"help": "Arrangement of texts in forward passes: padded, packed, prefix_shared, or auto (fastest)."},
    )
    ptx_coef: float | None = field(
        default=None, metadata={"help": "Weight of the next-token cross-entropy on pretraining texts (PPO-ptx)."}
    )
    ptx_max_length: int = field(
        default=512, metadata={"help": "Maximum length of a pretraining text, in tokens; longer ones are cut."}
    )
    whiten_advantages: bool = field(
        default=True,
        metadata={"help": "Shift and scale advantages to mean 0 and variance 1 over the tokens of a rollout."},
    )
    critic_learning_rate: float | None = field(
        default=None, metadata={"help": "Peak learning rate of the critic; by default the ratio times learning_rate."}
    )
    critic_learning_rate_ratio: float = field(
        default=10.0, metadata={"help": "Learning rate of the critic divided by that of the policy."}
    )
    allow_changed: list[str] | None = field(
        default=None,
        metadata={"help": "Names of settings and data that may differ from the checkpoint of a resumed run."},
    )

    learning_rate: float | None = field(
        default=None,
        metadata={"help": "Peak learning rate of the policy; by default 3e-6, and 1e-5 for adapters (LoRA)."},
    )
    beta: float = field(
        default=0.01, metadata={"help": "Coefficient of the KL penalty in the reward of each token; 0: no reference."}
    )
    num_iterations: int = field(
        default=4, metadata={"help": "Number of PPO epochs per rollout, by default of one optimizer step each."}
    )
    num_generations: int | None = field(default=1, metadata={"help": "Completions per prompt."})
    disable_dropout: bool = field(default=True, metadata={"help": "Disable dropout."})
    loss_type: str = field(default="dapo", metadata={"help": f"Average over tokens: {', '.join(CLIPPED_SURROGATES)}."})

    @classmethod
    def published(cls, output_dir: str | None = None, **settings: Any) -> "PPOConfig":
        """Return the settings of the N+ implementation details of PPO, Huang et al. (2024).

        Args:
            output_dir: output folder of the run.
            settings: settings that are not the published ones.

        Examples:
            >>> config = PPOConfig.published("run", beta=0.1, use_cpu=True)
            >>> config.lam, config.score_normalization, config.beta
            (0.95, 'none', 0.1)
        """
        return cls(output_dir, **{**PUBLISHED, **settings})

    def __post_init__(self) -> None:
        require_layout(self.layout)
        if self.stop_after is not None:
            self.stop_after = str(self.stop_after)  # YAML reads a number of seconds as a number
            parse_duration(self.stop_after)
        require_setting_types(self, TrainingArguments)
        require_ranges(self, RANGES)
        require_finite_settings(self)
        self._check_choices()
        self._check_combinations()
        choose_bf16(self)
        prepare_defaults(self)
        require_connectable()
        connect_on_cpus(self)
        self.num_generations_eval = self.num_generations_eval or self.num_generations
        requested, self.num_generations = self.num_generations, self._num_generations_for_grpo()
        super().__post_init__()
        require_connected(self.world_size, self.parallel_mode != ParallelMode.NOT_PARALLEL)
        self.num_generations = requested

    def choose_learning_rates(self, adapters: bool) -> None:
        """Set the learning rates of policy and critic to their defaults if there are none.

        Args:
            adapters: whether the run trains adapters instead of all weights.
        """
        if self.learning_rate is None:
            self.learning_rate = ADAPTER_LEARNING_RATE if adapters else LEARNING_RATE
        if self.critic_learning_rate is None:
            self.critic_learning_rate = self.critic_learning_rate_ratio * self.learning_rate

    @property
    def steps_per_rollout(self) -> int:
        """Number of optimizer steps on a rollout: those of a PPO epoch, times `num_iterations`."""
        return int(self.num_iterations * self.steps_per_generation // self.gradient_accumulation_steps)

    def _num_generations_for_grpo(self) -> int | None:
        """Return a value that GRPO accepts: it needs groups and rejects 1, so a whole rollout replaces 1."""
        if self.num_generations != 1:
            return self.num_generations
        passes = self.steps_per_generation or self.gradient_accumulation_steps
        rollout: int = self.generation_batch_size or self.per_device_train_batch_size * passes
        if rollout < 2:
            raise InvalidSettingError(
                "per_device_train_batch_size=1 and gradient_accumulation_steps=1 give rollouts of a single completion, "
                "but TRL needs at least two, and advantages are whitened over a rollout. "
                "Increase one of them; gradient_accumulation_steps needs no memory."
            )
        return rollout

    def _check_choices(self) -> None:
        refuse_unused_settings(self)
        if self.loss_type not in CLIPPED_SURROGATES:
            raise InvalidSettingError(
                f"loss_type='{self.loss_type}' is not PPO's clipped objective. "
                f"Choose one of {', '.join(CLIPPED_SURROGATES)}, or train with trl.GRPOTrainer."
            )
        self._check_name("kl_estimator", ESTIMATORS)
        self._check_name("score_normalization", NORMALIZATIONS)
        if self.use_liger_kernel:
            raise InvalidSettingError(
                "use_liger_kernel=True is not supported: Liger's fused GRPO loss has no value loss. "
                "Omit it; TRL deprecates it."
            )

    def _check_name(self, setting: str, known: Iterable[str]) -> None:
        if getattr(self, setting) not in known:
            raise InvalidSettingError(
                f"{setting}='{getattr(self, setting)}' is unknown. Choose one of {', '.join(known)}."
            )

    def _check_combinations(self) -> None:
        """Raise `InvalidSettingError` for pairs of settings that exclude each other."""
        if self.kl_target is not None and not self.beta:
            raise InvalidSettingError(
                f"kl_target={self.kl_target} has no effect with beta=0: the controller multiplies beta. "
                "Set beta to an initial value, like 0.05."
            )
        if self.missing_eos_penalty is not None and self.missing_eos_score is not None:
            raise InvalidSettingError(
                f"missing_eos_penalty={self.missing_eos_penalty} and missing_eos_score={self.missing_eos_score} are "
                "both set, but one lowers the score of a completion without EOS and the other replaces it. "
                "Omit one of them."
            )


def refuse_unused_settings(args: TrainingArguments) -> None:
    """Raise `InvalidSettingError` for settings of transformers that PPO cannot use.

    Args:
        args: settings, before transformers reads them.
    """
    for name in ("deepspeed", "fsdp"):
        requested = os.environ.get(f"ACCELERATE_USE_{name.upper()}", "").lower() == "true"
        if getattr(args, name) or requested:
            value = f"{name}={getattr(args, name)!r}" if getattr(args, name) else f"ACCELERATE_USE_{name.upper()}=true"
            raise InvalidSettingError(
                f"{value} is not supported: DeepSpeed and FSDP support one model, while PPO trains two. Omit it, and "
                "run on one device or with data parallelism: accelerate launch --multi_gpu."
            )
    if args.label_smoothing_factor:
        raise InvalidSettingError(
            f"label_smoothing_factor={args.label_smoothing_factor} has no effect, because PPO has no labels. Omit it."
        )


def standardized_rewards(args: PPOConfig) -> Standardized | None:
    """Return which rewards the settings standardize with running statistics."""
    if args.score_normalization != "running":
        return None
    return "each" if args.multi_objective_aggregation == "normalize_then_sum" else "sum"


def as_ppo_config(args: Any, model_name: str) -> PPOConfig:
    """Return the configuration of a run.

    Args:
        args: a `PPOConfig`, or None for the defaults.
        model_name: last part of the path of the policy, for the default output folder.

    Raises:
        InvalidSettingError: something else, such as the configuration of another trainer.
    """
    if args is None:
        return PPOConfig(f"{model_name}-PPO")
    if isinstance(args, PPOConfig):
        return copy(args)  # a run changes it
    raise InvalidSettingError(
        f"args is a {type(args).__name__}, which has no settings for a critic. "
        "Use rlhf_losses.PPOConfig, which has the same arguments."
    )


_COUNT = "It is a number of steps."

RANGES = {
    "skip_nonfinite": Range(0, _COUNT),
    "critic_warmup_steps": Range(0, _COUNT),
    "num_iterations": Range(1, "Without a PPO epoch, nothing is learned from a rollout."),
    "num_generations": Range(1, "A prompt without a completion has no reward."),
    "num_generations_eval": Range(1, "A prompt without a completion has no reward."),
    "max_completion_length": Range(1, "A completion has at least one token."),
    "temperature": Range(0, "Completions are sampled, and logits are divided by the temperature.", exclude_low=True),
    "epsilon": Range(0, "A clip range is a distance, and with 0 nothing is learned.", exclude_low=True),
    "epsilon_high": Range(0, "A clip range is a distance, and with 0 nothing is learned.", exclude_low=True),
    "beta": Range(0, "A negative KL penalty would reward distance from the reference."),
    "vf_coef": Range(0, "A negative weight would maximize the error of the critic."),
    "cliprange_value": Range(0, "A clip range is a distance."),
    "gamma": Range(0, "A discount factor above 1 gives later tokens a larger weight than the score.", high=1),
    "lam": Range(0, "With a decay factor above 1 the weights of later errors grow without bound.", high=1),
    "value_lam": Range(0, "With a decay factor above 1 the weights of later errors grow without bound.", high=1),
    "kl_target": Range(0, "The KL to the reference is above 0 as soon as the policy changes.", exclude_low=True),
    "kl_horizon": Range(0, "The controller divides by the horizon.", exclude_low=True),
    "early_stop_kl": Range(
        0, "Every update changes the policy, so each rollout would be used for one step only.", exclude_low=True
    ),
    "score_clip": Range(0, "All clipped scores would be equal.", exclude_low=True),
    "missing_eos_penalty": Range(0, "A negative penalty would reward completions without EOS."),
    "critic_learning_rate": Range(0, "A negative learning rate would maximize the error of the critic."),
    "critic_learning_rate_ratio": Range(0, "A negative learning rate would maximize the error of the critic."),
    "ptx_coef": Range(0, "A negative weight would maximize the cross-entropy on pretraining texts."),
    "ptx_max_length": Range(2, "A single token has no next token to predict."),
}
"""Range of each setting."""
