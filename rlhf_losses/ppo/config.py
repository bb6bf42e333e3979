"""`PPOConfig`: TRL's `GRPOConfig` with the settings of PPO, and PPO's defaults."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import trl

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.layouts import LayoutName, require_layout
from rlhf_losses.ppo.kl import ESTIMATORS

CLIPPED_SURROGATES = ("dapo", "bnpo", "grpo", "dr_grpo")
"""The loss types of TRL that are PPO's clipped objective; they differ in how tokens are averaged."""

NORMALIZATIONS = ("none", "running", "reference")
"""Scales that scores may get."""

CRITIC_LEARNING_RATE_RATIO = 3.3
"""AttentionOptions many times as fast as the policy PPO-max trains the critic (1.65e-6 to 5e-7)."""


@dataclass
class PPOConfig(trl.GRPOConfig):
    """TRL's `GRPOConfig` plus what PPO needs; every other argument keeps its name, and its default unless listed.

    In PPO the penalty for leaving the reference is a part of the reward of every token, not a term of the
    loss; `beta` is its coefficient. `scale_rewards` and `multi_objective_aggregation` shape the group
    advantages of GRPO, which PPO replaces by those of the critic: they have no effect here.

    Args:
        vf_coef: weight of the value loss in the sum of both losses.
        cliprange_value: how far a value may move from the value at rollout before its error stops to count.
        gamma: discount a token; 1 counts a late score in full.
        lam: decay of generalized advantage estimation; 1 is the return minus the value, 0 the one-step error.
        kl_estimator: `"k1"` is the log ratio, unbiased; `"k2"` half its square; `"k3"` is unbiased and never negative.
        kl_target: KL a completion, in nats, to which `beta` is adapted; by default `beta` stays as it is.
        kl_horizon: completions in which an adapted `beta` may about change by a fifth.
        early_stop_kl: a rollout is given up for a new one as soon as the policy is further than this from the one that
            wrote it (`approx_kl` of an optimizer step); by default never.
        score_normalization: `"running"` gives the scores of each reward function mean 0 and variance 1 over all so
            far, `"reference"` over the samples that the reward model was fitted to (`fit_reference`).
        score_clip: scores are clipped to plus or minus this, after their normalisation.
        missing_eos_penalty: is taken from the score of a completion that does not end with EOS.
        missing_eos_score: is the score of a completion that does not end with EOS, whatever it says.
        bootstrap_truncated: whether a completion that was cut off earns what the critic expects of the rest of it.
        whiten_rewards: whether rewards get variance 1 over all tokens of the rollout, keeping their mean.
        shared_critic: whether the critic is a head on the policy's own transformer, which then learns from both
            losses, in place of a model of its own.
        critic_warmup_steps: first optimizer steps in which the critic learns and the policy waits.
        sanity_check: whether the first rollout is explained on the console, for people to check the set-up.
        log_phase_times: whether the share of time in generation, scoring, reference, critic and update is logged and
            printed at the end.
        layout: how policy, reference and critic read prompts with completions: `"padded"`, `"packed"` (no padding),
            `"prefix_shared"` (no padding, and what texts have in common at their beginning once), or `"auto"`, the
            fastest that the models take. The numbers are the same.
        ptx_coef: weight of the next-token cross-entropy on pretraining texts in the loss (PPO-ptx); with 0 it is logged
            and not trained.
        ptx_max_length: the most tokens of a pretraining text that are read at once; longer ones are cut into several.
        whiten_advantages: whether advantages get mean 0 and variance 1 over all tokens of the rollout.
        critic_learning_rate: peak learning rate of the critic; by default 3.3 times `learning_rate`.
        learning_rate: peak learning rate of the policy.
        beta: coefficient of the KL penalty in the reward of each token; with 0 no reference is loaded.
        num_iterations: PPO epochs, that is how often every rollout is trained on.
        num_generations: completions a prompt. PPO has a critic to compare with, so 1 is enough.
        adam_epsilon: of both parameter groups.
        disable_dropout: dropout would move log-probabilities away from those at rollout.
        loss_type: how tokens are averaged. `"dapo"` is the mean over all tokens of an optimizer step, the same
            however they are cut into micro-batches; the value loss is always averaged so.

    Raises:
        InvalidSettingError: a value out of range, or one that PPO has no use for.

    Reference:
        Defaults of Huang et al. (2024), https://arxiv.org/abs/2403.17031; the critic's learning rate of
        Zheng et al. (2023), https://arxiv.org/abs/2307.04964.

    Example:
        >>> PPOConfig.num_generations, PPOConfig.num_iterations, PPOConfig.beta
        (1, 4, 0.05)
    """

    num_generations_eval: int | None = field(
        default=None, metadata={"help": "Completions a prompt in evaluation; by default as many as in training."}
    )
    vf_coef: float = field(default=0.1, metadata={"help": "Weight of the value loss."})
    cliprange_value: float = field(
        default=0.2,
        metadata={
            "help": "AttentionOptions far a value may move from the value at rollout before its error is capped."
        },
    )
    gamma: float = field(default=1.0, metadata={"help": "Discount a token."})
    lam: float = field(default=0.95, metadata={"help": "Decay of generalized advantage estimation."})
    kl_estimator: str = field(
        default="k1", metadata={"help": "AttentionOptions KL is estimated at a token: k1, k2 or k3."}
    )
    kl_target: float | None = field(
        default=None, metadata={"help": "KL a completion, in nats, to which beta is adapted; by default beta is fixed."}
    )
    kl_horizon: float = field(
        default=10_000, metadata={"help": "Completions in which an adapted beta may about change by a fifth."}
    )
    early_stop_kl: float | None = field(
        default=None, metadata={"help": "approx_kl of a step beyond which a rollout is given up for a new one."}
    )
    score_normalization: str = field(
        default="none", metadata={"help": f"Scale of scores: {', '.join(NORMALIZATIONS)}."}
    )
    score_clip: float | None = field(
        default=None, metadata={"help": "Scores are clipped to plus or minus this, after their normalisation."}
    )
    missing_eos_penalty: float | None = field(
        default=None, metadata={"help": "Is taken from the score of a completion that does not end with EOS."}
    )
    missing_eos_score: float | None = field(
        default=None, metadata={"help": "Is the score of a completion that does not end with EOS."}
    )
    bootstrap_truncated: bool = field(
        default=False, metadata={"help": "Whether a cut-off completion earns what the critic expects of its rest."}
    )
    whiten_rewards: bool = field(
        default=False, metadata={"help": "Whether rewards get variance 1 over the tokens of a rollout."}
    )
    shared_critic: bool = field(
        default=False, metadata={"help": "Whether the critic is a head on the policy's own transformer."}
    )
    critic_warmup_steps: int = field(
        default=0, metadata={"help": "First optimizer steps in which only the critic learns."}
    )
    sanity_check: bool = field(
        default=True, metadata={"help": "Whether the first rollout is explained on the console."}
    )
    log_phase_times: bool = field(
        default=False, metadata={"help": "Whether the share of time in each part of a step is logged and printed."}
    )
    layout: LayoutName = field(
        default="auto",
        metadata={
            "help": "AttentionOptions texts lie in memory: padded, packed or prefix_shared; auto takes the fastest."
        },
    )
    ptx_coef: float | None = field(
        default=None, metadata={"help": "Weight of the next-token cross-entropy on pretraining texts (PPO-ptx)."}
    )
    ptx_max_length: int = field(
        default=512, metadata={"help": "The most tokens of a pretraining text that are read at once."}
    )
    whiten_advantages: bool = field(
        default=True, metadata={"help": "Whether advantages get mean 0 and variance 1 over the tokens of a rollout."}
    )
    critic_learning_rate: float | None = field(
        default=None, metadata={"help": "Peak learning rate of the critic; by default 3.3 times learning_rate."}
    )

    learning_rate: float = field(default=3e-6, metadata={"help": "Peak learning rate of the policy."})
    beta: float = field(
        default=0.05, metadata={"help": "KLController of the KL penalty in the reward of each token; 0: no reference."}
    )
    num_iterations: int = field(default=4, metadata={"help": "PPO epochs: how often every rollout is trained on."})
    num_generations: int | None = field(default=1, metadata={"help": "Completions a prompt."})
    adam_epsilon: float = field(default=1e-5, metadata={"help": "Epsilon of Adam."})
    disable_dropout: bool = field(default=True, metadata={"help": "Whether to train without dropout."})
    loss_type: str = field(
        default="dapo", metadata={"help": f"AttentionOptions tokens are averaged: {', '.join(CLIPPED_SURROGATES)}."}
    )

    def __post_init__(self) -> None:
        self._check_ranges()
        self._check_choices()
        self.num_generations_eval = self.num_generations_eval or self.num_generations
        wanted, self.num_generations = self.num_generations, self._acceptable_group()
        super().__post_init__()
        self.num_generations = wanted
        if self.critic_learning_rate is None:
            self.critic_learning_rate = CRITIC_LEARNING_RATE_RATIO * self.learning_rate

    def _acceptable_group(self) -> int | None:
        """Return a number of generations that GRPO's checks let pass: the wanted one, or for 1 a whole rollout.

        GRPO compares completions of one prompt and therefore refuses 1; PPO compares with the critic.
        """
        if self.num_generations != 1:
            return self.num_generations
        passes = self.steps_per_generation or self.gradient_accumulation_steps
        rollout = self.generation_batch_size or self.per_device_train_batch_size * passes
        if rollout < 2:
            raise InvalidSettingError(
                "per_device_train_batch_size=1 and gradient_accumulation_steps=1 make rollouts of a single completion. "
                "TRL makes no rollout of fewer than two, and advantages are whitened over a rollout. "
                "Raise one of them; gradient_accumulation_steps costs no memory."
            )
        return rollout

    def _check_ranges(self) -> None:
        for name, (low, high, why) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not (value >= low and (high is None or value <= high)):
                bounds = f"at least {low}" if high is None else f"between {low} and {high}"
                raise InvalidSettingError(f"{name}={value} arrived. {why} Set {name} to a number {bounds}.")
        for name, why in POSITIVE.items():
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidSettingError(
                    f"{name}={value} arrived. {why} Set {name} to a number above 0, or leave it out."
                )

    def _check_choices(self) -> None:
        if self.loss_type not in CLIPPED_SURROGATES:
            raise InvalidSettingError(
                f"loss_type='{self.loss_type}' arrived, but PPO maximises the clipped objective, and that is another. "
                f"Choose among {', '.join(CLIPPED_SURROGATES)}, or train with trl.GRPOTrainer."
            )
        self._check_name("kl_estimator", ESTIMATORS)
        self._check_name("score_normalization", NORMALIZATIONS)
        require_layout(self.layout)
        self._check_pairs()
        if self.use_liger_kernel:
            raise InvalidSettingError(
                "use_liger_kernel=True arrived, but Liger's fused GRPO loss would go past the value loss. "
                "Leave it out; TRL deprecates it."
            )

    def _check_name(self, setting: str, known: Iterable[str]) -> None:
        if getattr(self, setting) not in known:
            raise InvalidSettingError(
                f"{setting}='{getattr(self, setting)}' arrived, which is not known. Choose among {', '.join(known)}."
            )

    def _check_pairs(self) -> None:
        """Refuse pairs of settings of which one makes the other meaningless."""
        if self.kl_target is not None and not self.beta:
            raise InvalidSettingError(
                f"kl_target={self.kl_target} and beta=0 arrived, but a coefficient of 0 stays 0 however it is adapted. "
                "Set beta to where it is to start, like 0.05."
            )
        if self.missing_eos_penalty is not None and self.missing_eos_score is not None:
            raise InvalidSettingError(
                "missing_eos_penalty lowers the score of a completion without EOS, and missing_eos_score replaces it, "
                "so both cannot be. Leave one out."
            )


RANGES: dict[str, tuple[float, float | None, str]] = {
    "beta": (0, None, "A negative KL penalty would pay the policy for leaving the reference."),
    "vf_coef": (0, None, "A negative weight would train the critic to be wrong."),
    "cliprange_value": (0, None, "A value cannot move by less than nothing."),
    "gamma": (0, 1, "A discount beyond 1 makes late tokens count more than the score itself."),
    "lam": (0, 1, "Beyond 1 the weights of later errors grow without end."),
    "missing_eos_penalty": (0, None, "A negative penalty would pay for endless completions."),
    "ptx_coef": (0, None, "A negative weight would train the policy to forget."),
    "ptx_max_length": (2, None, "A single token has no next one to predict."),
    "critic_warmup_steps": (0, None, "There are no steps before the first."),
}
"""The least and the largest value of a setting, and why others cannot work."""

POSITIVE: dict[str, str] = {
    "kl_target": "The policy leaves its reference as soon as it learns.",
    "kl_horizon": "A coefficient cannot change within no completions.",
    "early_stop_kl": "Every update moves the policy a little, so nothing would be learned twice.",
    "score_clip": "Clipped so, all scores are the same.",
}
"""Settings that must be above 0, and why."""
