"""Names of metrics in the logs of this package, TRL, OpenRLHF, verl, NeMo-RL, LLaMA-Factory and ms-swift."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

TRAIN = "train"
EVAL = "eval"


@dataclass(frozen=True)
class Metric:
    """A quantity that training programs log.

    Attributes:
        name: its name in the logs of this package; a `*` stands for the name of a part.
        title: its name in a report.
        aliases: its names in the logs of other programs.
    """

    name: str
    title: str
    aliases: tuple[str, ...] = ()


METRICS = (
    Metric("loss", "loss", ("loss_mean", "total_loss", "loss/total", "ppo/loss/total", "rm/loss")),
    Metric("loss/*", "loss of a term"),
    Metric("accuracy", "accuracy", ("acc", "acc_mean", "rewards/accuracies", "rm/accuracy", "accuracies")),
    Metric("token_accuracy", "accuracy of tokens", ("token_acc", "mean_token_accuracy")),
    Metric("accuracy_count", "number of comparisons or labels of the accuracy"),
    Metric("balanced_accuracy", "balanced accuracy"),
    Metric("auc", "area under the ROC curve"),
    Metric("processbench_f1", "ProcessBench F1"),
    Metric("margin", "margin", ("rewards/margins", "rm/reward_margin", "reward_margins", "reward_margin")),
    Metric("mean_reward", "mean score", ("reward_mean",)),
    Metric("min_reward", "smallest score"),
    Metric("max_reward", "largest score"),
    Metric(
        "rewards/chosen",
        "score of the better answer",
        ("chosen_reward", "chosen_rewards", "rewards_chosen_mean", "rm/chosen_rewards", "preferred_rewards"),
    ),
    Metric(
        "rewards/rejected",
        "score of the worse answer",
        ("reject_reward", "rejected_rewards", "rewards_rejected_mean", "rm/rejected_rewards"),
    ),
    Metric(
        "reward",
        "reward before the KL penalty",
        ("ppo/mean_scores", "reward_mean_score", "objective/scores", "critic/score/mean", "rollout/reward_mean"),
    ),
    Metric(
        "reward_std",
        "standard deviation of the reward",
        ("ppo/std_scores", "env/reward_std", "rollout/reward_std", "group_reward_std"),
    ),
    Metric("reward_min", "smallest reward", ("critic/score/min",)),
    Metric("reward_max", "largest reward", ("critic/score/max",)),
    Metric("held_out_reward", "reward on held-out prompts", ("val-core/*", "val/test_score/*")),
    Metric("rewards/*/mean", "mean of a reward function", ("rewards/*",)),
    Metric("rewards/*/std", "standard deviation of a reward function"),
    Metric(
        "objective/rlhf_reward",
        "reward after the KL penalty",
        ("critic/rewards/mean", "return", "critic/returns_mean"),
    ),
    Metric("objective/non_score_reward", "KL part of the reward", ("ppo/mean_non_score_reward",)),
    Metric("frac_reward_zero_std", "share of prompts with equal rewards"),
    Metric(
        "kl", "KL to the reference per token", ("critic/kl", "actor/reward_kl_penalty", "kl_penalty", "actor/kl_loss")
    ),
    Metric("kl_per_completion", "KL to the reference per completion", ("objective/kl",)),
    Metric(
        "kl_coefficient",
        "coefficient of the KL penalty",
        ("objective/kl_coef", "actor/kl_coef", "critic/kl_coeff", "actor/reward_kl_penalty_coeff"),
    ),
    Metric(
        "entropy",
        "entropy per token",
        (
            "policy/entropy_avg",
            "ppo/policy/entropy",
            "actor/entropy",
            "actor/entropy_loss",
            "entropy_loss",
            "approx_entropy",
            "entropy/mean",
        ),
    ),
    Metric("entropy_per_completion", "entropy per completion", ("objective/entropy",)),
    Metric(
        "completions/mean_length",
        "mean length",
        (
            "completion_length",
            "response_length/mean",
            "rollout/response_length_mean",
            "response_length",
            "mean_gen_tokens_per_sample",
            "val/sequence_lengths",
            "tokens/responses_len_mean",
        ),
    ),
    Metric("completions/min_length", "smallest length", ("response_length/min", "val/sequence_lengths_min")),
    Metric("completions/max_length", "largest length", ("response_length/max", "val/sequence_lengths_max")),
    Metric("completions/mean_terminated_length", "mean length of completions with an end"),
    Metric("completions/min_terminated_length", "smallest length of completions with an end"),
    Metric("completions/max_terminated_length", "largest length of completions with an end"),
    Metric(
        "completions/clipped_ratio",
        "share of truncated completions",
        (
            "response_length/clip_ratio",
            "rollout/truncated_rate",
            "truncated_rate",
            "response_clip_ratio",
            "truncation_rate",
        ),
    ),
    Metric("val/num_eos_tokens", "number of EOS tokens"),
    Metric(
        "loss/policy",
        "policy loss",
        ("loss/policy_avg", "ppo/loss/policy", "policy_loss", "actor/pg_loss", "act_loss"),
    ),
    Metric(
        "loss/value",
        "value loss",
        ("loss/value_avg", "ppo/loss/value", "value_loss", "critic_loss", "critic/vf_loss", "critic/loss"),
    ),
    Metric(
        "value/explained_variance",
        "explained variance of the returns",
        ("ppo/val/var_explained", "critic/vf_explained_var", "critic/explained_var"),
    ),
    Metric(
        "value/mean",
        "mean value",
        ("ppo/val/vpred", "ppo/val/mean", "values", "critic/values/mean", "critic/vpred_mean", "critic/values_mean"),
    ),
    Metric(
        "value/clip_ratio", "share of clipped values", ("val/clipfrac_avg", "ppo/val/clipfrac", "critic/vf_clipfrac")
    ),
    Metric("ratio", "probability ratio to the policy at rollout", ("val/ratio", "ppo/policy/ratio", "probs_ratio")),
    Metric(
        "approx_kl",
        "KL to the policy at rollout",
        ("policy/approxkl_avg", "ppo/policy/approxkl", "ppo/policy/policykl", "actor/ppo_kl", "ppo_kl"),
    ),
    Metric(
        "clip_ratio/region_mean",
        "share of clipped ratios",
        ("clip_ratio", "policy/clipfrac_avg", "ppo/policy/clipfrac", "actor/pg_clipfrac", "ppo_clip_ratio"),
    ),
    Metric("clip_ratio/low_mean", "share of ratios clipped below", ("actor/pg_clipfrac_lower",)),
    Metric("clip_ratio/low_min", "smallest share of ratios clipped below"),
    Metric("clip_ratio/high_mean", "share of ratios clipped above"),
    Metric("clip_ratio/high_max", "largest share of ratios clipped above"),
    Metric("advantages/mean", "mean advantage", ("critic/advantages/mean", "val/advantages_mean")),
    Metric(
        "grad_norm", "gradient norm", ("actor/grad_norm", "actor_grad_norm", "critic/grad_norm", "critic_grad_norm")
    ),
    Metric(
        "learning_rate",
        "learning rate",
        ("lr", "actor/lr", "actor_lr", "critic/lr", "critic_lr", "ppo/learning_rate", "rm/lr"),
    ),
    Metric("loss_parameters/*.log_tie_width", "logarithm of the tie width, a trainable parameter"),
    Metric("loss_parameters/*.log_tie_odds", "logarithm of the tie odds, a trainable parameter"),
    Metric("loss_parameters/*", "trainable parameter of the loss"),
    Metric("time/*", "share of a phase in the time"),
    Metric("timing_s/*", "seconds of a phase", ("timing/*",)),
    Metric("step_time", "seconds per step", ("perf/time_per_step",)),
    Metric("runtime", "seconds in total"),
    Metric("samples_per_second", "samples per second"),
    Metric("steps_per_second", "steps per second"),
    Metric("total_flos", "floating-point operations"),
    Metric("num_tokens", "number of tokens", ("perf/total_num_tokens", "num_input_tokens_seen")),
    Metric("epoch", "epoch", ("epochs", "training/epoch")),
)
"""All metrics that a report knows."""

STEP_NAMES = (
    "step",
    "steps",
    "global_step",
    "global_steps",
    "train/global_step",
    "training/global_step",
    "training_step",
    "global_step/max_steps",
    "current_steps",
    "train_steps",
    "trainer/global_step",
    "iteration",
    "iter",
    "update",
    "_step",
)
"""Names of the number of optimizer steps or updates, in the order of preference."""

EPISODE_NAMES = ("episode", "episodes")
"""Names of the number of completions so far."""

PROGRESS_NAMES = ("total_steps", "percentage", "elapsed_time", "remaining_time", "eps", "_timestamp", "_runtime")
"""Names of the progress of a run, which are no metrics."""

_PREFIXES = (("train/", TRAIN), ("train_", TRAIN), ("eval/", EVAL), ("eval_", EVAL), ("val_", EVAL), ("data/", TRAIN))


@dataclass(frozen=True)
class Meaning:
    """What a name in a log means.

    Attributes:
        metric: the metric.
        split: `"train"`, `"eval"`, or `"eval NAME"` for an evaluation set with a name.
        part: name of the part of a metric with a `*`, such as a reward function; otherwise empty.
    """

    metric: Metric
    split: str = TRAIN
    part: str = ""

    @property
    def title(self) -> str:
        """Title of the metric, with the part and the evaluation set."""
        part = f" ({self.part})" if self.part else ""
        return f"{self.metric.title}{part}" + ("" if self.split == TRAIN else f", {self.split}")


@cache
def meaning(logged: str) -> Meaning | None:
    """Return what a name in a log means, or None if it is unknown.

    Args:
        logged: the name. Loggers put `train/`, `eval/` or `eval_` before it, and exports of Weights & Biases the name
            of the run.

    Examples:
        >>> meaning("objective/kl").metric.name, meaning("eval_math_accuracy").title
        ('kl_per_completion', 'accuracy, eval math')
        >>> meaning("out_dist_val_accuracy").title, meaning("val_accuracy").title
        ('accuracy, eval out_dist', 'accuracy, eval')
        >>> meaning("noop_penalty") is None
        True
    """
    name = logged.rpartition(" - ")[2].strip()
    return _meaning(name) or _meaning(name.lower().replace(" ", "_"))


def _meaning(name: str) -> Meaning | None:
    split = TRAIN
    for _ in range(3):
        found = _exact(name)
        if found is not None:
            return Meaning(found[0], split, found[1])
        prefix = next(((text, one) for text, one in _PREFIXES if name.startswith(text)), None)
        if prefix is None:
            break
        name, split = name.removeprefix(prefix[0]), prefix[1] if split == TRAIN else split
    return _named_set(name, split)


def _named_set(name: str, split: str) -> Meaning | None:
    """Return the meaning of `{set}_val_{metric}`, or of `{set}_{metric}` after `eval_`."""
    inner = _INNER_SPLIT.fullmatch(name)
    found = None if inner is None else _exact(inner[2])
    if inner is not None and found is not None:
        return Meaning(found[0], f"{EVAL} {inner[1]}", found[1])
    if split != EVAL:
        return None
    for separator in (match.start() for match in re.finditer(r"[_/]", name)):
        found = _exact(name[separator + 1 :])
        if found is not None:
            return Meaning(found[0], f"{EVAL} {name[:separator]}", found[1])
    return None


def _exact(name: str) -> tuple[Metric, str] | None:
    if name in _BY_NAME:
        return _BY_NAME[name], ""
    for pattern, metric in _PATTERNS:
        match = pattern.fullmatch(name)
        if match is not None:
            return metric, match[1]
    return None


_INNER_SPLIT = re.compile(r"(.+)_(?:val|eval|test)_(.+)")


def _names() -> Iterator[tuple[str, Metric]]:
    for metric in METRICS:
        yield from ((name, metric) for name in (metric.name, *metric.aliases))


_BY_NAME = {name: metric for name, metric in _names() if "*" not in name}
_PATTERNS = [(re.compile(re.escape(name).replace(r"\*", "(.+)")), metric) for name, metric in _names() if "*" in name]
_PATTERNS.sort(key=lambda one: -len(one[0].pattern))  # rewards/*/mean before rewards/*
