"""Rewards per token: placement of scores, running normalization, and the pipeline from raw to final rewards.

The pipeline applies, in this order: placement at tokens, normalization, clipping, weighted sum over reward functions,
missing EOS, KL penalty, whitening.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhf_losses.ppo.formulas import (
    AllReduce,
    Mask,
    PerCompletion,
    PerToken,
    last_token,
    masked_mean,
    single_process,
    whiten,
)
from rlhf_losses.ppo.rollout import Rollout


@dataclass(frozen=True)
class PerTokenRewards:
    """Rewards of the tokens of a batch of completions.

    Attributes:
        values: reward of each token; 0 where no reward is assigned.
        assigned: True at tokens with a reward, which may be 0.
    """

    values: PerToken
    assigned: Bool[Tensor, "completion token"]


@dataclass(frozen=True)
class RawRewards:
    """Outputs of the reward functions for the completions of one process.

    Attributes:
        scores: score of each completion by each reward function; NaN where a function returned None.
        token_rewards: for each reward function, None or one list of rewards per completion, with one number per token
            and NaN at tokens without a reward. Token rewards replace the score.
    """

    scores: Float[Tensor, "completion function"]
    token_rewards: Sequence[Sequence[Sequence[float]] | None]

    def place(self, mask: Mask) -> list[PerTokenRewards]:
        """Return the rewards of each reward function at the tokens of the completions."""
        return [
            reward_at_last_token(scores, mask) if rows is None else rewards_from_rows(rows, mask)
            for scores, rows in zip(self.scores.unbind(1), self.token_rewards, strict=True)
        ]


def reward_at_last_token(scores: PerCompletion, mask: Mask) -> PerTokenRewards:
    """Assign the score of each completion to its last token.

    The last token is the last one that the policy generated: EOS, or the token at which the completion is truncated.
    Scores of NaN and completions without tokens have no reward.

    Examples:
        >>> reward_at_last_token(torch.tensor([2.0]), torch.tensor([[1, 1, 0]])).values
        tensor([[0., 2., 0.]])
    """
    assigned = last_token(mask) & ~scores.isnan().unsqueeze(1)
    return PerTokenRewards(torch.where(assigned, scores.unsqueeze(1), 0.0), assigned)


def rewards_from_rows(rows: Sequence[Sequence[float]], mask: Mask) -> PerTokenRewards:
    """Return rewards from one number per token; NaN and masked tokens have no reward.

    Args:
        rows: one list per completion; a list may be shorter than the longest completion.
        mask: 1 at tokens that the policy generated.

    Examples:
        >>> rewards_from_rows([[torch.nan, 1.0], [3.0]], torch.tensor([[1, 1, 0], [1, 0, 0]])).values
        tensor([[0., 1., 0.],
                [3., 0., 0.]])
    """
    values = torch.full(mask.shape, torch.nan)
    for line, row in zip(values, rows, strict=True):
        line[: len(row)] = torch.as_tensor(row, dtype=line.dtype)
    values = values.to(mask.device)
    assigned = mask.bool() & ~values.isnan()
    return PerTokenRewards(torch.where(assigned, values, 0.0), assigned)


def weighted_sum_of_rewards(rewards: Sequence[PerTokenRewards], weights: Float[Tensor, "function"]) -> PerTokenRewards:
    """Return the weighted sum over reward functions.

    Examples:
        >>> one = reward_at_last_token(torch.tensor([2.0]), torch.tensor([[1, 1]]))
        >>> weighted_sum_of_rewards([one, one], torch.tensor([1.0, 0.25])).values
        tensor([[0.0000, 2.5000]])
    """
    values = torch.stack([one.values for one in rewards])
    assigned = torch.stack([one.assigned for one in rewards])
    return PerTokenRewards((values * weights.view(-1, 1, 1)).sum(0), assigned.any(0))


def apply_missing_eos(
    rewards: PerToken, mask: Mask, ended: Bool[Tensor, "completion"], penalty: float | None, score: float | None
) -> PerToken:
    """Lower or replace the rewards of completions that do not end with EOS.

    Args:
        rewards: rewards of all reward functions together.
        mask: 1 at tokens that the policy generated.
        ended: whether each completion ends with EOS.
        penalty: subtracted from the reward of the last token, as in TRL's PPO; None for no penalty.
        score: replaces all rewards of the completion, as in detail 23 of Huang et al. (2024),
            https://arxiv.org/abs/2403.17031; None keeps them.

    Examples:
        >>> rewards, mask, truncated = torch.tensor([[0.5, 2.0]]), torch.ones(1, 2), torch.tensor([False])
        >>> apply_missing_eos(rewards, mask, truncated, penalty=1.0, score=None)
        tensor([[0.5000, 1.0000]])
        >>> apply_missing_eos(rewards, mask, truncated, penalty=None, score=-1.0)
        tensor([[ 0., -1.]])
    """
    at_end, truncated = last_token(mask), ~ended.unsqueeze(1)
    if score is not None:
        rewards = torch.where(truncated, torch.where(at_end, score, 0.0), rewards)
    return rewards if penalty is None else torch.where(truncated & at_end, rewards - penalty, rewards)


def clip_rewards(rewards: PerTokenRewards, limit: float) -> PerTokenRewards:
    """Clip rewards to the interval from `-limit` to `limit`.

    Examples:
        >>> rewards = PerTokenRewards(torch.tensor([[-7.0, 0.5]]), torch.tensor([[True, True]]))
        >>> clip_rewards(rewards, limit=5.0).values
        tensor([[-5.0000,  0.5000]])
    """
    return replace(rewards, values=rewards.values.clamp(-limit, limit))


@dataclass
class RunningMeanStd:
    """Running mean and variance of all rewards of a run, over all processes.

    Batches are merged with the formulas of Chan et al. (1979), which are accurate for large means.

    Attributes:
        count: number of rewards so far.
        mean: their mean.
        m2: sum of their squared deviations from the mean.

    Examples:
        >>> stats = RunningMeanStd()
        >>> assigned = torch.ones(1, 2, dtype=torch.bool)
        >>> stats.update(PerTokenRewards(torch.tensor([[1.0, 3.0]]), assigned))
        >>> stats.update(PerTokenRewards(torch.tensor([[5.0, 7.0]]), assigned))
        >>> stats.mean, stats.variance
        (4.0, 5.0)
    """

    count: float = 0.0
    mean: float = 0.0
    m2: float = 0.0

    @property
    def variance(self) -> float:
        """Population variance; 0 before the first update."""
        return self.m2 / max(self.count, 1.0)

    def update(self, rewards: PerTokenRewards, all_reduce: AllReduce = single_process) -> None:
        """Merge the assigned rewards of a batch into the statistics."""
        values = rewards.values[rewards.assigned].float()
        total, count = all_reduce(torch.stack([values.sum(), values.new_tensor(float(len(values)))])).tolist()
        if not count:
            return
        mean = total / count
        deviations = all_reduce((values - mean).square().sum()).item()
        new_count, difference = self.count + count, mean - self.mean
        self.m2 += deviations + difference**2 * self.count * count / new_count
        self.mean += difference * count / new_count
        self.count = new_count

    def standardize(self, rewards: PerTokenRewards) -> PerTokenRewards:
        """Return rewards minus the mean, divided by the standard deviation if it is not 0."""
        scaled = (rewards.values - self.mean) / (self.variance**0.5 or 1.0)
        return replace(rewards, values=torch.where(rewards.assigned, scaled, 0.0))


class RewardPipeline:
    """Compute the reward of every token from the outputs of the reward functions.

    Args:
        weights: weight of each reward function.
        running_normalization: standardize each reward function with its running mean and standard deviation.
        score_clip: clip rewards to plus or minus this value after normalization; None for no clipping.
        missing_eos_penalty: see `apply_missing_eos`.
        missing_eos_score: see `apply_missing_eos`.
        whiten_rewards: scale final rewards to variance 1 over all tokens of a rollout; their mean stays.
        all_reduce: sums a tensor over all processes.

    Attributes:
        stats: running statistics of each reward function; empty without running normalization.
    """

    def __init__(
        self,
        weights: Float[Tensor, "function"],
        *,
        running_normalization: bool = False,
        score_clip: float | None = None,
        missing_eos_penalty: float | None = None,
        missing_eos_score: float | None = None,
        whiten_rewards: bool = False,
        all_reduce: AllReduce = single_process,
    ) -> None:
        self.weights = weights
        self.score_clip = score_clip
        self.missing_eos_penalty = missing_eos_penalty
        self.missing_eos_score = missing_eos_score
        self.whiten_rewards = whiten_rewards
        self.all_reduce = all_reduce
        self.stats = [RunningMeanStd() for _ in weights] if running_normalization else []

    def process(self, raw: RawRewards, rollout: Rollout, *, update_stats: bool = True) -> PerTokenRewards:
        """Return the normalized, clipped and weighted rewards of each token, before the KL penalty.

        Args:
            raw: outputs of the reward functions.
            rollout: completions that were scored, with their end tokens.
            update_stats: merge the rewards into the running statistics first; False in evaluation.
        """
        mask = rollout.action_mask
        rewards = raw.place(mask)
        if update_stats:
            for stats, one in zip(self.stats, rewards, strict=False):
                stats.update(one, self.all_reduce)
        if self.stats:
            rewards = [stats.standardize(one) for stats, one in zip(self.stats, rewards, strict=True)]
        if self.score_clip is not None:
            rewards = [clip_rewards(one, self.score_clip) for one in rewards]
        total = weighted_sum_of_rewards(rewards, self.weights.to(mask.device))
        values = apply_missing_eos(total.values, mask, rollout.ended, self.missing_eos_penalty, self.missing_eos_score)
        return PerTokenRewards(values, total.assigned | (values != 0))

    def subtract_penalty(self, rewards: PerTokenRewards, penalty: PerToken, rollout: Rollout) -> PerToken:
        r"""Return rewards minus the KL penalty of each token, whitened if configured.

        $$r_t = s_t - \beta\,\text{KL}_t, \qquad \hat r_t = (r_t - \mu) / \sigma + \mu$$

        Args:
            rewards: result of `process`.
            penalty: KL estimate of each token times its coefficient.
            rollout: completions of the rewards.

        References:
            Huang et al. (2024), https://arxiv.org/abs/2403.17031, detail 24 (whitening keeps the mean)
        """
        mask = rollout.action_mask
        values = torch.where(mask, rewards.values - penalty, 0.0)
        if not self.whiten_rewards:
            return values
        mean = masked_mean(values, mask, self.all_reduce)
        return whiten(values, mask, self.all_reduce) + torch.where(mask, mean, 0.0)

    def state_dict(self) -> list[dict[str, float]]:
        """Return the running statistics as plain numbers."""
        return [asdict(stats) for stats in self.stats]

    def load_state_dict(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Load running statistics from `state_dict`."""
        self.stats = [RunningMeanStd(**stats) for stats in state]
