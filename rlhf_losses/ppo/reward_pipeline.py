"""The reward_pipeline: from what reward functions pay to the reward of every token, in one order.

PerTokenRewards are standardised, clipped, weighted and added up; completions without EOS pay for that; every token pays the
KL penalty; and last, rewards may be whitened over the rollout of all processes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.formulas import Mask, PerToken, Total, masked_mean, whiten
from rlhf_losses.ppo.rewards import PerTokenRewards, apply_missing_eos, weighted_sum_of_rewards
from rlhf_losses.ppo.running_mean_std import RunningMeanStd, clip


class RewardPipeline:
    """Turns payments into rewards as a configuration says; remembers the running scale of each reward function.

    Args:
        args: says what is done to payments.
        functions: how many reward functions pay.
        total: adds a tensor up over all processes.
    """

    def __init__(self, args: PPOConfig, functions: int, total: Total) -> None:
        self.args = args
        self.total = total
        self.scales = [RunningMeanStd() for _ in range(functions)] if args.score_normalization == "running" else []

    def scores(
        self,
        payments: Sequence[PerTokenRewards],
        weights: Float[Tensor, "function"],
        mask: Mask,
        finished: Bool[Tensor, "completion"],
        learn: bool,
    ) -> PerToken:
        """Return what all reward functions pay each token together; `learn` takes them into the running scales."""
        if learn:
            for scale, one in zip(self.scales, payments, strict=False):
                scale.see(one, self.total)
        if self.scales:
            payments = [scale.standardize(one) for scale, one in zip(self.scales, payments, strict=True)]
        if self.args.score_clip is not None:
            payments = [clip(one, self.args.score_clip) for one in payments]
        paid = weighted_sum_of_rewards(payments, weights)
        return apply_missing_eos(paid, mask, finished, self.args.missing_eos_penalty, self.args.missing_eos_score)

    def rewards(self, scores: PerToken, penalties: PerToken, mask: Mask) -> PerToken:
        r"""Return scores minus penalties, with variance 1 over all tokens where that is asked for.

        Whitening keeps the mean: :math:`\hat r_t = (r_t - \mu) / \sigma + \mu`, detail 24 of Huang et al. (2024).
        """
        rewards = torch.where(mask.bool(), scores - penalties, 0.0)
        if not self.args.whiten_rewards:
            return rewards
        mean = masked_mean(rewards, mask, self.total)
        return whiten(rewards, mask, self.total) + torch.where(mask.bool(), mean, 0.0)

    def state(self) -> list[dict[str, float]]:
        """Return the running scales as plain numbers."""
        return [vars(scale).copy() for scale in self.scales]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Go on with the scales that `state` gave."""
        self.scales = [RunningMeanStd(**scale) for scale in state]
