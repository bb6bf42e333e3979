"""Rewards per token: placement of scores, running normalization, and the pipeline from raw to final rewards.

The pipeline applies, in this order: placement at tokens, weighted sum over reward functions, missing EOS,
normalization, clipping, KL penalty, whitening. Where each reward function is normalized, that and clipping precede the
sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhf_losses.errors import UnsupportedModelError
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

Standardized = Literal["sum", "each"]
"""What is standardized: the weighted sum of the reward functions, or each of them."""

ROUNDING = 1e-6
"""Relative error of a sum in float32."""


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
    """Running mean and variance of the rewards of all completions of a run, over all processes.

    The reward of a completion is the sum over its tokens. Batches are merged with the formulas of Chan et al. (1979),
    which are accurate for large means.

    Attributes:
        count: number of completions with a reward so far.
        mean: mean of their rewards.
        m2: sum of the squared deviations from the mean.

    Examples:
        >>> stats = RunningMeanStd()
        >>> assigned = torch.ones(2, 2, dtype=torch.bool)
        >>> stats.update(PerTokenRewards(torch.tensor([[0.5, 0.5], [1.0, 2.0]]), assigned))
        >>> stats.update(PerTokenRewards(torch.tensor([[5.0, 0.0], [0.0, 7.0]]), assigned))
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

    @property
    def scale(self) -> float:
        """Standard deviation; 1 if all rewards are equal but for rounding."""
        deviation: float = self.variance**0.5
        return deviation if deviation > ROUNDING * abs(self.mean) else 1.0

    def update(self, rewards: PerTokenRewards, all_reduce: AllReduce = single_process) -> None:
        """Merge the rewards of a batch of completions into the statistics; those without a reward do not count."""
        totals = rewards.values.sum(1)[rewards.assigned.any(1)].float()
        total, count = all_reduce(torch.stack([totals.sum(), totals.new_tensor(float(len(totals)))])).tolist()
        if not count:
            return
        mean = total / count
        deviations = all_reduce((totals - mean).square().sum()).item()
        new_count, difference = self.count + count, mean - self.mean
        self.m2 += deviations + difference**2 * self.count * count / new_count
        self.mean += difference * count / new_count
        self.count = new_count

    def standardize(self, rewards: PerTokenRewards, mask: Mask) -> PerTokenRewards:
        r"""Return rewards whose sum over a completion is standardized.

        $$\sum_t \hat r_t = \Big(\sum_t r_t - \mu\Big) / \sigma$$

        The mean is subtracted at the last token, so that more tokens with a reward do not change the sum.

        Args:
            rewards: rewards; completions without a reward stay so.
            mask: 1 at tokens that the policy generated.
        """
        shifted = last_token(mask) & rewards.assigned.any(1, keepdim=True)
        values = rewards.values - torch.where(shifted, self.mean, 0.0)
        return PerTokenRewards(values / self.scale, rewards.assigned | shifted)


class RewardPipeline:
    """Compute the reward of every token from the outputs of the reward functions.

    Args:
        weights: weight of each reward function.
        standardized: `"sum"` to standardize the weighted sum of the reward functions with its running mean and standard
            deviation, `"each"` for each reward function before the sum, None for neither.
        score_clip: clip rewards to plus or minus this value after normalization; None for no clipping.
        missing_eos_penalty: see `apply_missing_eos`.
        missing_eos_score: see `apply_missing_eos`.
        whiten_rewards: scale final rewards to variance 1 over all tokens of a rollout; their mean stays.
        all_reduce: sums a tensor over all processes.

    Attributes:
        stats: running statistics of the sum or of each reward function; empty without standardization.
    """

    def __init__(
        self,
        weights: Float[Tensor, "function"],
        *,
        standardized: Standardized | None = None,
        score_clip: float | None = None,
        missing_eos_penalty: float | None = None,
        missing_eos_score: float | None = None,
        whiten_rewards: bool = False,
        all_reduce: AllReduce = single_process,
    ) -> None:
        self.weights = weights
        self.standardized = standardized
        self.score_clip = score_clip
        self.missing_eos_penalty = missing_eos_penalty
        self.missing_eos_score = missing_eos_score
        self.whiten_rewards = whiten_rewards
        self.all_reduce = all_reduce
        counts = {"sum": 1, "each": len(weights), None: 0}
        self.stats = [RunningMeanStd() for _ in range(counts[standardized])]

    def process(self, raw: RawRewards, rollout: Rollout, *, update_stats: bool = True) -> PerTokenRewards:
        """Return the normalized, clipped and weighted rewards of each token, before the KL penalty.

        Args:
            raw: outputs of the reward functions.
            rollout: completions that were scored, with their end tokens.
            update_stats: merge the rewards into the running statistics first; False in evaluation.
        """
        mask = rollout.action_mask
        rewards = raw.place(mask)
        if self.standardized == "each":
            rewards = self._standardize(rewards, mask, update_stats)
        if self.standardized != "sum":
            rewards = self._clip(rewards)
        total = weighted_sum_of_rewards(rewards, self.weights.to(mask.device))
        values = apply_missing_eos(total.values, mask, rollout.ended, self.missing_eos_penalty, self.missing_eos_score)
        total = PerTokenRewards(values, total.assigned | (values != 0))
        if self.standardized == "sum":
            [total] = self._clip(self._standardize([total], mask, update_stats))
        return total

    @property
    def is_new(self) -> bool:
        """Whether rewards are standardized, and none has been processed yet."""
        return bool(self.stats) and all(stats.count == 0 for stats in self.stats)

    @property
    def unit(self) -> float:
        """One unit of the rewards of `process`, in units of the weighted sum of the scores."""
        return self.stats[0].scale if self.standardized == "sum" else 1.0

    def in_units_of_scores(self, rewards: PerTokenRewards, rollout: Rollout) -> PerTokenRewards:
        """Return rewards of `process` in units of the weighted sum of the scores."""
        if self.standardized != "sum":
            return rewards
        shifted = last_token(rollout.action_mask) & rewards.assigned.any(1, keepdim=True)
        values = rewards.values * self.unit + torch.where(shifted, self.stats[0].mean, 0.0)
        return replace(rewards, values=values)

    def _standardize(self, rewards: list[PerTokenRewards], mask: Mask, update_stats: bool) -> list[PerTokenRewards]:
        if update_stats:
            for stats, one in zip(self.stats, rewards, strict=True):
                stats.update(one, self.all_reduce)
        return [stats.standardize(one, mask) for stats, one in zip(self.stats, rewards, strict=True)]

    def _clip(self, rewards: list[PerTokenRewards]) -> list[PerTokenRewards]:
        return rewards if self.score_clip is None else [clip_rewards(one, self.score_clip) for one in rewards]

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
        """Load running statistics from `state_dict`.

        Raises:
            UnsupportedModelError: they are those of other rewards.
        """
        if len(state) != len(self.stats):
            raise UnsupportedModelError(
                f"The checkpoint has running statistics of {len(state)} rewards, and this run standardizes "
                f"{len(self.stats)}. Resume with the score_normalization and multi_objective_aggregation of the run; "
                "earlier versions standardized each reward function, as 'normalize_then_sum' does."
            )
        self.stats = [RunningMeanStd(**stats) for stats in state]
