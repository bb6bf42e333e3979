"""Rewards: what each token is paid. Pure functions of tensors; who pays, and how much, is decided elsewhere.

A reward function either scores a completion, which is paid at its last token, or says itself where it pays.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhf_losses.ppo.formulas import Mask, PerToken

PerCompletion = Float[Tensor, "completion"]


class PerTokenRewards(NamedTuple):
    """What one reward function pays each token, and where it pays at all: a payment may be 0."""

    amounts: PerToken
    paid: Bool[Tensor, "completion token"]


def reward_at_last_token(scores: PerCompletion, mask: Mask) -> PerTokenRewards:
    """Return the score of each completion as a payment at its last token.

    The last token is the last one the policy wrote: EOS, or where it was cut off. A score of NaN (the function
    had no opinion) pays nothing, and a completion without tokens is paid nothing.

    Example:
        >>> reward_at_last_token(torch.tensor([2.0]), torch.tensor([[1, 1, 0]])).amounts
        tensor([[0., 2., 0.]])
    """
    paid = last_token(mask) & ~scores.isnan().unsqueeze(1)
    return PerTokenRewards(torch.where(paid, scores.unsqueeze(1), 0.0), paid)


def rewards_from_rows(rows: Sequence[Sequence[float]], mask: Mask) -> PerTokenRewards:
    """Return payments from one number a token; NaN pays nothing, and so does a token the policy did not write.

    Example:
        >>> rewards_from_rows([[torch.nan, 1.0], [3.0]], torch.tensor([[1, 1, 0], [1, 0, 0]])).amounts
        tensor([[0., 1., 0.],
                [3., 0., 0.]])
    """
    amounts = torch.full(mask.shape, torch.nan)
    for line, row in zip(amounts, rows, strict=True):
        line[: len(row)] = torch.as_tensor(row, dtype=line.dtype)
    amounts = amounts.to(mask.device)
    paid = mask.bool() & ~amounts.isnan()
    return PerTokenRewards(torch.where(paid, amounts, 0.0), paid)


def weighted_sum_of_rewards(payments: Sequence[PerTokenRewards], weights: Float[Tensor, "function"]) -> PerToken:
    """Return the weighted sum over reward functions.

    >>> one = reward_at_last_token(torch.tensor([2.0]), torch.tensor([[1, 1]]))
    >>> weighted_sum_of_rewards([one, one], torch.tensor([1.0, 0.25]))
    tensor([[0.0000, 2.5000]])
    """
    amounts = torch.stack([one.amounts for one in payments])
    return (amounts * weights.view(-1, 1, 1)).sum(0)


def apply_missing_eos(
    rewards: PerToken, mask: Mask, finished: Bool[Tensor, "completion"], penalty: float | None, score: float | None
) -> PerToken:
    """Return the rewards of completions that ended with EOS as they are, and others lowered or replaced.

    Args:
        rewards: what the reward functions pay together.
        mask: 1 at tokens the policy wrote.
        finished: whether a completion ended with EOS.
        penalty: taken from the reward of the last token, as in TRL's PPO; None takes nothing.
        score: what the whole completion is paid instead, as in detail 23 of Huang et al. (2024); None leaves it.

    Example:
        >>> rewards, mask, cut_off = torch.tensor([[0.5, 2.0]]), torch.ones(1, 2), torch.tensor([False])
        >>> apply_missing_eos(rewards, mask, cut_off, penalty=1.0, score=None)
        tensor([[0.5000, 1.0000]])
        >>> apply_missing_eos(rewards, mask, cut_off, penalty=None, score=-1.0)
        tensor([[ 0., -1.]])
    """
    at_end, cut_off = last_token(mask), ~finished.unsqueeze(1)
    if score is not None:
        rewards = torch.where(cut_off, torch.where(at_end, score, 0.0), rewards)
    return rewards if penalty is None else torch.where(cut_off & at_end, rewards - penalty, rewards)


def last_token(mask: Mask) -> Bool[Tensor, "completion token"]:
    """Return True at the last unmasked token of each completion.

    >>> last_token(torch.tensor([[1, 1, 0], [0, 0, 0], [1, 0, 1]])).int()
    tensor([[0, 1, 0],
            [0, 0, 0],
            [0, 0, 1]], dtype=torch.int32)
    """
    written = mask.bool()
    return written & (written.cumsum(1) == written.sum(1, keepdim=True))


def ended_with(ids: Tensor, mask: Mask, ends: Sequence[int]) -> Bool[Tensor, "completion"]:
    """Return whether the last token of each completion is one of `ends`.

    >>> ended_with(torch.tensor([[5, 2, 0], [5, 5, 5]]), torch.tensor([[1, 1, 0], [1, 1, 1]]), ends=[2])
    tensor([ True, False])
    """
    return (last_token(mask) & torch.isin(ids, torch.tensor(ends, device=ids.device))).any(1)
