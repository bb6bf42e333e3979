"""Advantages of the policy and returns of the critic for a rollout."""

from dataclasses import dataclass

import torch

from rlhf_losses.ppo.critic import StateValues
from rlhf_losses.ppo.formulas import (
    AllReduce,
    PerCompletion,
    PerToken,
    generalized_advantages,
    lambda_returns,
    last_token,
    least_squares_line,
    single_process,
    whiten,
)
from rlhf_losses.ppo.rollout import Rollout


@dataclass(frozen=True)
class AdvantageEstimator:
    """Computes advantages and returns from rewards and values.

    Args:
        gamma: discount factor per token.
        lam: decay factor of the advantages.
        value_lam: decay factor of the returns.
        whiten_advantages: shift and scale advantages to mean 0 and variance 1 over all tokens.
        bootstrap_truncated: add the value after the last token to the return of a completion without EOS.
        all_reduce: sums a tensor over all processes.
    """

    gamma: float = 1.0
    lam: float = 0.95
    value_lam: float = 1.0
    whiten_advantages: bool = True
    bootstrap_truncated: bool = False
    all_reduce: AllReduce = single_process

    def estimate(self, rewards: PerToken, state_values: StateValues, rollout: Rollout) -> dict[str, PerToken]:
        """Return the advantages, returns and values of a rollout, by their names in TRL's dictionary.

        Args:
            rewards: reward of each token, after the KL penalty.
            state_values: values before each token and after the last one.
            rollout: the completions.
        """
        mask, values = rollout.action_mask, state_values[:, :-1]
        last_value = self._value_after_truncation(state_values, rollout) if self.bootstrap_truncated else None
        advantages, for_critic = (
            generalized_advantages(rewards, values, mask, self.gamma, lam, last_value)
            for lam in (self.lam, self.value_lam)
        )
        if self.whiten_advantages:
            advantages = whiten(advantages, mask, self.all_reduce)
        return {"advantages": advantages, "returns": lambda_returns(for_critic, values, mask), "values": values}

    def line_to_returns(self, rewards: PerToken, state_values: StateValues, rollout: Rollout) -> tuple[float, float]:
        """Return slope and intercept of the line from values to the sums of the later rewards, by least squares.

        Args:
            rewards: reward of each token, after the KL penalty.
            state_values: values before each token and after the last one.
            rollout: the completions.
        """
        mask, values = rollout.action_mask, state_values[:, :-1]
        returns = generalized_advantages(rewards, torch.zeros_like(values), mask, self.gamma, lam=1.0)
        return least_squares_line(values, returns, mask, self.all_reduce)

    def _value_after_truncation(self, state_values: StateValues, rollout: Rollout) -> PerCompletion:
        """Return the value after the last token of each completion without EOS, and 0 for the others."""
        at_truncation = last_token(rollout.action_mask) & ~rollout.ended.unsqueeze(1)
        return torch.where(at_truncation, state_values[:, 1:], 0.0).sum(1)
