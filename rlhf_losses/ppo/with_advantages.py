"""A trainer whose rollouts get rewards, values and advantages for every token, in the place of those of a group."""

from typing import Any

import torch
from torch import Tensor
from trl.models.utils import disable_gradient_checkpointing

from rlhf_losses.ppo.formulas import PerToken, generalized_advantages, lambda_returns, whiten
from rlhf_losses.ppo.kl import ESTIMATORS, KLController, log_ratio_to_reference
from rlhf_losses.ppo.ppo_metrics import kl_metrics, rollout_metrics
from rlhf_losses.ppo.reward_functions import TokenLevelReward
from rlhf_losses.ppo.reward_pipeline import RewardPipeline
from rlhf_losses.ppo.rewards import PerTokenRewards, ended_with, last_token, reward_at_last_token, rewards_from_rows
from rlhf_losses.ppo.sanity_check import SanityCheck
from rlhf_losses.ppo.with_critic import TrainerWithCritic
from rlhf_losses.ppo.with_metrics import TrainerWithMetrics

Inputs = dict[str, Any]


class TrainerWithAdvantages(TrainerWithCritic, TrainerWithMetrics):
    """TRL's trainer with another rollout; a subclass calls `price_rollouts` once the parent is made."""

    beta: float

    def price_rollouts(self) -> None:
        """Make ready what turns scores and KL into rewards, as the settings say."""
        args = self.args
        self.reward_pipeline = RewardPipeline(args, len(self.reward_funcs), self._total)
        self.coefficient = KLController(args.beta, args.kl_target, args.kl_horizon)
        self._sanity_check = self._new_sanity_check() if args.sanity_check else None

    def _new_sanity_check(self) -> SanityCheck:
        tolerance = 1e-2 if self.args.bf16 or self.args.fp16 or self.model.dtype != torch.float32 else 1e-4
        return SanityCheck(self.accelerator.print, self._tokenizer, self.reward_funcs, tolerance)

    def _calculate_rewards(self, inputs: Any, prompts: Any, *rest: Any) -> Tensor:
        """Keep what each function pays the completions of this process; scores come back gathered from all."""
        with self._phase("scoring"):
            gathered = super()._calculate_rewards(inputs, prompts, *rest)
        mine = self.accelerator.process_index * len(prompts)
        self._scores = gathered[mine : mine + len(prompts)].unbind(1)
        ids = rest[-1]
        self._placed = [
            function.by_token(ids, self._tokenizer) if isinstance(function, TokenLevelReward) else None
            for function in self.reward_funcs
        ]
        return gathered

    def _payments(self, mask: Tensor) -> list[PerTokenRewards]:
        """Return what each reward function pays each token: a score at the last one, or where the function says."""
        return [
            reward_at_last_token(scores, mask) if rows is None else rewards_from_rows(rows, mask)
            for scores, rows in zip(self._scores, self._placed, strict=True)
        ]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Inputs:
        """Replace the advantages over the group by those over the critic, and add what the value loss needs."""
        with self._phase("rollout"):
            return self._with_advantages(super()._generate_and_score_completions(inputs))

    def _with_advantages(self, rollout: Inputs) -> Inputs:
        mask, finished = written(rollout), self._finished(rollout)
        kl = ESTIMATORS[self.args.kl_estimator](self._log_ratios_to_reference(rollout))
        weights, payments = self.reward_weights.to(mask.device), self._payments(mask)
        scores = self.reward_pipeline.scores(payments, weights, mask, finished, learn=self.model.training)
        self._show_rewards(rollout["completion_ids"], scores, payments, mask)
        rewards = self.reward_pipeline.rewards(scores, self.beta * kl, mask)
        values = self._values_at_rollout(rollout)
        rollout |= self._advantages(rewards, values, mask, finished)
        total = self._total
        self._record(rollout_metrics(scores, self.beta * kl, rollout["values"], rollout["returns"], mask, total))
        self._price_kl(kl, mask)
        self._show_advantages(rollout["advantages"].sum(1) / mask.sum(1).clamp(min=1))
        return rollout

    def _generate(self, prompts: list[Any]) -> Any:
        with self._phase("generation"):
            return super()._generate(prompts)

    def _show_rewards(self, ids: Tensor, scores: PerToken, payments: list[PerTokenRewards], mask: Tensor) -> None:
        if self._sanity_check is not None and self.model.training:
            paid = torch.stack([one.paid for one in payments]).any(0) | (scores != 0)
            lengths = (mask.cumsum(1) * mask).argmax(1) + 1
            shown = [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
            self._sanity_check.rollout(shown, scores, paid)

    def _finished(self, rollout: Inputs) -> Tensor:
        declared: Any = self.accelerator.unwrap_model(self.model).generation_config.eos_token_id
        ends = [declared] if isinstance(declared, int) else list(declared or [])
        ends += [self._tokenizer.eos_token_id, self._tokenizer.pad_token_id]
        return ended_with(rollout["completion_ids"], written(rollout), ends)

    def _advantages(self, rewards: PerToken, states: PerToken, mask: Tensor, finished: Tensor) -> dict[str, Tensor]:
        """Return advantages, returns and values, from the values of all states of each completion."""
        values = states[:, :-1]
        beyond = None
        if self.args.bootstrap_truncated:
            beyond = torch.where(last_token(mask) & ~finished.unsqueeze(1), states[:, 1:], 0.0).sum(1)
        advantages = generalized_advantages(rewards, values, mask, self.args.gamma, self.args.lam, beyond)
        returns = lambda_returns(advantages, values, mask)
        whitened = whiten(advantages, mask, self._total) if self.args.whiten_advantages else advantages
        return {"advantages": whitened, "returns": returns, "values": values}

    def _price_kl(self, kl: PerToken, mask: Tensor) -> None:
        """Record the KL of a rollout, and move its price where that is adapted."""
        if not self.beta:
            return
        metrics = kl_metrics(kl, self.beta, mask, self._total)
        self._record(metrics)
        if self.model.training:
            completions = len(mask) * self.accelerator.num_processes
            self.coefficient.update(metrics["kl_per_completion"].item(), completions)
            self.beta = self.coefficient.value

    @torch.no_grad()
    def _log_ratios_to_reference(self, rollout: Inputs) -> PerToken:
        """Return the log ratios of policy and reference at each token; zeros without a reference.

        The parent computes the policy's log-probabilities only where it needs them itself.
        """
        mask = written(rollout)
        if "ref_per_token_logps" not in rollout:
            return torch.zeros_like(mask, dtype=torch.float32)
        logps = rollout.get("old_per_token_logps")
        if logps is None:
            with disable_gradient_checkpointing(self.model, self._checkpointing()):
                logps = self._get_per_token_logps_and_entropies(
                    self.model, *sequences(rollout), mask.shape[1], batch_size=self._piece()
                )[0]
        return log_ratio_to_reference(logps, rollout["ref_per_token_logps"], mask)

    @torch.no_grad()
    def _values_at_rollout(self, inputs: Inputs) -> PerToken:
        """Return the values of a whole rollout, computed in the pieces that the policy's log-probabilities are.

        There is one column more than tokens: the value after the last one.
        """
        self.critic.eval()  # also switches gradient checkpointing off
        pieces = zip(*(tensor.split(self._piece()) for tensor in sequences(inputs)), strict=True)
        length = inputs["completion_ids"].shape[1]
        with self._phase("critic"):
            return torch.cat([self.critic(ids, attention, length=length) for ids, attention in pieces])

    def _piece(self) -> int:
        args = self.args
        return args.per_device_train_batch_size if self.model.training else args.per_device_eval_batch_size


def sequences(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Return token ids and attention mask of prompts with their completions."""
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    return ids, torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)


def written(inputs: Inputs) -> Tensor:
    """Return True at the tokens that the policy wrote, not at padding nor at the answers of tools."""
    mask = inputs["completion_mask"].bool()
    return mask & inputs["tool_mask"].bool() if "tool_mask" in inputs else mask
