"""Monitoring of a PPO run: metrics, the table of completions, and a sanity check of the first rollout."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate.utils import gather
from jaxtyping import Float
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from rlhf_losses.ppo.critic_init import has_vocabulary_of
from rlhf_losses.ppo.formulas import (
    AllReduce,
    Mask,
    PerToken,
    explained_variance,
    masked_mean,
    mean_per_completion,
    single_process,
)
from rlhf_losses.ppo.phase_timer import PhaseTimer
from rlhf_losses.ppo.read_tokens import WrittenTexts, describe_reading
from rlhf_losses.ppo.reward_functions import find_scorers
from rlhf_losses.ppo.rewards import PerTokenRewards
from rlhf_losses.ppo.rollout import Rollout
from rlhf_losses.scoring.scorer import Scorer

Metrics = Mapping[str, Float[Tensor, ""]]
MetricLog = Mapping[str, MutableMapping[str, MutableSequence[float]]]
"""Values of each metric since the last log, for `"train"` and `"eval"`, as in `trl.GRPOTrainer._metrics`."""


def rollout_metrics(
    rewards: PerToken, penalty: PerToken, values: PerToken, returns: PerToken, mask: Mask, all_reduce: AllReduce
) -> dict[str, Tensor]:
    """Return the objective of PPO and the quality of the critic for a rollout.

    Args:
        rewards: rewards of each token before the KL penalty.
        penalty: KL penalty of each token.
        values: values of the critic before each token.
        returns: regression targets of the critic.
        mask: 1 at tokens that the policy generated.
        all_reduce: sums a tensor over all processes.
    """
    return {
        "objective/rlhf_reward": mean_per_completion(rewards - penalty, mask, all_reduce),
        "value/mean": masked_mean(values, mask, all_reduce),
        "value/explained_variance": explained_variance(values, returns, mask, all_reduce),
    }


def kl_metrics(kl: PerToken, coefficient: float, mask: Mask, all_reduce: AllReduce) -> dict[str, Tensor]:
    """Return the KL to the reference, per token and per completion in nats, and its coefficient."""
    return {
        "kl": masked_mean(kl, mask, all_reduce),
        "kl_per_completion": mean_per_completion(kl, mask, all_reduce),
        "kl_coefficient": torch.tensor(coefficient),
    }


def ratio_metrics(logps: PerToken, old_logps: PerToken, mask: Mask, all_reduce: AllReduce) -> dict[str, Tensor]:
    """Return the mean probability ratio of the policy to the policy at rollout, and the mean of $k_3$.

    Args:
        logps: log-probabilities of the policy now.
        old_logps: log-probabilities of the policy at rollout.
        mask: 1 at tokens that the policy generated.
        all_reduce: sums a tensor over all processes.
    """
    log_ratios = torch.where(mask.bool(), logps - old_logps, 0.0)
    return {
        "ratio": masked_mean(log_ratios.exp(), mask, all_reduce),
        "approx_kl": masked_mean(torch.expm1(log_ratios) - log_ratios, mask, all_reduce),
    }


class PPOMonitor:
    """Record what happens in a PPO run, as means over all processes.

    Args:
        metrics: `_metrics` of the trainer.
        advantages: column `advantages` of the trainer's table of completions.
        all_reduce: sums a tensor over all processes.
        num_processes: number of processes.
        sanity_check: prints a breakdown of the first rollout; None for no output.
        timer: measures the phases of each step; None for no measurement.
    """

    def __init__(
        self,
        metrics: MetricLog,
        advantages: MutableSequence[float],
        *,
        all_reduce: AllReduce = single_process,
        num_processes: int = 1,
        sanity_check: "SanityCheck | None" = None,
        timer: "PhaseTimer | None" = None,
    ) -> None:
        self.metrics = metrics
        self.advantages = advantages
        self.all_reduce = all_reduce
        self.num_processes = num_processes
        self.sanity_check = sanity_check
        self.timer = timer

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Return a context whose time counts for a phase."""
        return nullcontext() if self.timer is None else self.timer.phase(name)

    def log_probs_phase(self, model: nn.Module, is_reference: bool, training: bool) -> AbstractContextManager[None]:
        """Return the phase of a forward pass over a rollout: `reference` or `policy`.

        Forward passes of the loss and of an evaluation do not start a phase.

        Args:
            model: language model, which may be the policy with other adapters.
            is_reference: the model is a separate reference model.
            training: the trainer is in training mode.
        """
        if torch.is_grad_enabled() or not training:
            return nullcontext()
        return self.phase("reference" if is_reference or uses_reference_adapter(model) else "policy")

    def record(self, metrics: Metrics, training: bool) -> None:
        """Add metrics to the log.

        Args:
            metrics: values that are equal on all processes.
            training: log them for training, else for evaluation.
        """
        log = self.metrics["train" if training else "eval"]
        for name, value in metrics.items():
            log[name].append(value.item())
        log.pop("frac_reward_zero_std", None)  # about groups of completions, which PPO does not have

    def check_texts(self, written: WrittenTexts, training: bool) -> None:
        """Check the texts of the first rollout.

        Args:
            written: completions that the reward functions have scored.
            training: the trainer is in training mode.
        """
        if self.sanity_check is not None and training:
            self.sanity_check.check_texts(written)

    def record_rollout(
        self, rollout: Rollout, rewards: PerTokenRewards, kl: PerToken, coefficient: float, training: bool
    ) -> float:
        """Record the metrics and the advantages of a rollout, and check the first one.

        Args:
            rollout: completions with values, returns and advantages.
            rewards: rewards before the KL penalty, in units of the scores.
            kl: KL estimate of each token.
            coefficient: coefficient of the KL penalty, in the same units; with 0 there is no reference and KL is not
                recorded.
            training: the trainer is in training mode.

        Returns:
            Mean KL per completion, in nats.
        """
        mask = rollout.action_mask
        if self.sanity_check is not None and training:
            self.sanity_check.check_rollout(rollout, rewards)
        penalty = coefficient * kl
        self.record(
            rollout_metrics(rewards.values, penalty, rollout.values, rollout.returns, mask, self.all_reduce), training
        )
        kl_per_completion = 0.0
        if coefficient:
            metrics = kl_metrics(kl, coefficient, mask, self.all_reduce)
            kl_per_completion = metrics["kl_per_completion"].item()
            self.record(metrics, training)
        self._replace_advantages(rollout.advantages.sum(1) / mask.sum(1).clamp(min=1))
        return kl_per_completion

    @torch.no_grad()
    def record_loss(
        self,
        policy_loss: Float[Tensor, ""],
        value_loss: Float[Tensor, ""],
        *,
        rollout: Rollout,
        values: PerToken,
        logps: PerToken,
        cliprange_value: float,
        accumulation_steps: int,
        training: bool,
    ) -> float:
        """Record the metrics of the loss of a micro-batch, and check the ratio of the first one.

        Args:
            policy_loss: share of the micro-batch in the policy loss of the optimizer step.
            value_loss: share of the micro-batch in the value loss of the optimizer step.
            rollout: completions with values and log-probabilities at rollout.
            values: values of the critic now.
            logps: log-probabilities of the policy now.
            cliprange_value: clip range of the value loss.
            accumulation_steps: number of micro-batches of the optimizer step.
            training: the trainer is in training mode.

        Returns:
            Metric `approx_kl`.
        """
        mask = rollout.action_mask
        # The loss of a step is the sum of shares, but the trainer logs the mean over micro-batches.
        losses = self.mean_over_processes(torch.stack([policy_loss, value_loss]) * accumulation_steps)
        ratios = ratio_metrics(logps, logps if rollout.logps is None else rollout.logps, mask, self.all_reduce)
        ratio, approx_kl = ratios["ratio"].item(), ratios["approx_kl"].item()
        if self.sanity_check is not None and training:
            self.sanity_check.check_ratio(ratio, approx_kl)
        clipped = ((values - rollout.values).abs() > cliprange_value).float()
        clip_ratio = {"value/clip_ratio": masked_mean(clipped, mask, self.all_reduce)}
        self.record({"loss/policy": losses[0], "loss/value": losses[1]} | ratios | clip_ratio, training)
        return approx_kl

    def mean_over_processes(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes."""
        return self.all_reduce(values.detach()) / self.num_processes

    def _replace_advantages(self, means: Float[Tensor, "completion"]) -> None:
        """Replace the advantages in the table of completions by the mean over the tokens of each completion."""
        gathered: Any = gather(means)
        advantages = gathered.tolist()
        for _ in range(min(len(self.advantages), len(advantages))):
            self.advantages.pop()
        self.advantages.extend(advantages)


def uses_reference_adapter(policy: nn.Module) -> bool:
    """Return whether a policy with adapters is its own reference now: adapters disabled, or their initial values."""
    layer = next((module for module in policy.modules() if isinstance(module, BaseTunerLayer)), None)
    return layer is not None and (layer.disable_adapters or layer.active_adapters == ["ref"])


NUM_SAMPLES = 2
"""Number of completions that the sanity check prints."""

MAX_PRINTED_TOKENS = 60
"""Number of tokens at the end of a completion that the sanity check prints."""


class SanityCheck:
    """Print, once, the tokenizers, the positions of rewards, and whether the first PPO epoch has ratio 1.

    These outputs reveal common errors of PPO that raise no exception: a reward at the wrong token, a reward model with
    another chat template, log-probabilities that differ from those at rollout.

    Args:
        print_line: prints a line, on one process.
        tokenizer: tokenizer of the policy.
        reward_funcs: reward functions of the run.
        tolerance: allowed deviation of the ratio from 1, and of the approximate KL from 0.
    """

    def __init__(
        self,
        print_line: Callable[[str], None],
        tokenizer: PreTrainedTokenizerBase,
        reward_funcs: Sequence[Any],
        tolerance: float,
    ) -> None:
        self.print_line = print_line
        self.tokenizer = tokenizer
        self.reward_funcs = reward_funcs
        self.tolerance = tolerance
        self._printed_texts = self._printed_rollout = self._printed_ratio = False

    def check_texts(self, written: WrittenTexts) -> None:
        """Print the tokenizers, and whether reward models read the tokens that were written; the first time only."""
        if self._printed_texts:
            return
        self._printed_texts = True
        self.print_line("PPO sanity check")
        lines = describe_tokenizers(self.reward_funcs, self.tokenizer)
        for scorer in find_scorers(self.reward_funcs):
            lines += describe_reading(scorer, written, self.tokenizer)
        for line in lines:
            self.print_line(f"  {line}")

    def check_rollout(self, rollout: Rollout, rewards: PerTokenRewards) -> None:
        """Print the rewards of some completions; the first time only."""
        if self._printed_rollout:
            return
        self._printed_rollout = True
        self.print_line("  Rewards, each after its token (before the KL penalty):")
        mask = rollout.action_mask
        lengths = (mask.cumsum(1) * mask).argmax(1) + 1
        rows = zip(rollout.completion_ids, lengths, rewards.values.tolist(), rewards.assigned.tolist(), strict=True)
        for number, (ids, length, values, assigned) in enumerate(list(rows)[:NUM_SAMPLES], start=1):
            shown = format_completion(ids[:length].tolist(), values, assigned, self.tokenizer)
            self.print_line(f"    {number}. {shown}")

    def check_ratio(self, ratio: float, approx_kl: float) -> None:
        """Print whether the first loss after the printed rollout has the same log-probabilities as the rollout."""
        if self._printed_ratio or not self._printed_rollout:
            return
        self._printed_ratio = True
        correct = abs(ratio - 1) <= self.tolerance and abs(approx_kl) <= self.tolerance
        result = "ok" if correct else WRONG_RATIO
        self.print_line(f"  First PPO epoch: ratio {ratio:z.6f}, approximate KL {approx_kl:z.6f}: {result}")


WRONG_RATIO = (
    "NOT OK, expected 1 and 0. The log-probabilities of the policy differ between rollout and training: set "
    "disable_dropout=True, or use a higher precision."
)


def describe_tokenizers(reward_funcs: Iterable[Any], policy_tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return one line on the policy's tokenizer, and one on that of each reward model."""
    ours = policy_tokenizer
    lines = [f"Policy: {len(ours)} tokens, EOS {ours.eos_token!r}, padding {ours.pad_token!r}."]
    if ours.pad_token_id == ours.eos_token_id:
        lines.append("Padding and EOS are the same token; masks separate them, so rewards are at EOS.")
    return [*lines, *(describe_scorer(scorer, ours) for scorer in find_scorers(reward_funcs))]


def describe_scorer(scorer: Scorer, policy_tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a line that compares tokenizer and chat template of a scorer with those of the policy."""
    theirs, template = scorer.tokenizer, policy_tokenizer.chat_template
    same_ids = has_vocabulary_of(theirs, policy_tokenizer)
    tokens = "same token ids as the policy" if same_ids else "other token ids than the policy, so it scores text"
    if template is None and theirs.chat_template is None:
        return f"{scorer.__name__}: {tokens}; no chat template in either."
    if template == theirs.chat_template:
        return f"{scorer.__name__}: {tokens}; same chat template."
    return f"{scorer.__name__}: {tokens}; different chat templates, each model uses its own."


def format_completion(
    ids: Sequence[int], rewards: Sequence[float], assigned: Sequence[bool], tokenizer: PreTrainedTokenizerBase
) -> str:
    """Return the end of a completion as text, with each reward in brackets after its token.

    Args:
        ids: token ids, without padding.
        rewards: reward of each token.
        assigned: whether each token has a reward.
        tokenizer: tokenizer of the policy.
    """
    start = max(len(ids) - MAX_PRINTED_TOKENS, 0)
    pieces = ["… " if start else ""]
    pending: list[int] = []
    for token, reward, has_reward in list(zip(ids, rewards, assigned, strict=False))[start:]:
        pending.append(token)
        if has_reward:
            pieces.append(f"{tokenizer.decode(pending)}[{reward:+z.4f}]")
            pending = []
    return "".join([*pieces, tokenizer.decode(pending)]).replace("\n", "⏎")
