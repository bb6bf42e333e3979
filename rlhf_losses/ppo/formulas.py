"""Advantages: how much better each token was than the critic expected. Pure functions of tensors.

Everything here is of shape (completions, tokens) with a mask that is 1 at tokens the policy wrote; what
stands at masked places never matters, and results are 0 there. Functions that average take `total`, which
adds a tensor up over all processes; by default there is only one.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PerToken = Float[Tensor, "completion token"]
Mask = Bool[Tensor, "completion token"] | Int[Tensor, "completion token"] | Float[Tensor, "completion token"]
Total = Callable[[Tensor], Tensor]


def here(sums: Tensor) -> Tensor:
    """Return the sums as they are: the total over one process."""
    return sums


def generalized_advantages(
    rewards: PerToken,
    values: PerToken,
    mask: Mask,
    gamma: float,
    lam: float,
    beyond: Float[Tensor, "completion"] | None = None,
) -> PerToken:
    r"""Return the generalized advantage estimate of every token.

    .. math::
        \delta_t = r_t + \gamma V_{t+1} - V_t, \qquad A_t = \delta_t + \gamma \lambda A_{t+1}

    After the last token of a completion `A` is 0, and `V` is what `beyond` says. Masked tokens inside a
    completion (the answer of a tool) are no actions: the token before them is followed by the one after them.

    Args:
        rewards: reward of each token.
        values: expected return before each token.
        mask: 1 at tokens the policy wrote.
        gamma: discount a token.
        lam: 1 gives the return minus the value, 0 the one-step error.
        beyond: expected return after the last token of each completion, where it would have gone on; by default 0.

    Reference:
        Schulman et al. (2015), https://arxiv.org/abs/1506.02438

    Example:
        >>> rewards, values = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.25]])
        >>> generalized_advantages(rewards, values, torch.tensor([[1, 1]]), gamma=1.0, lam=1.0)
        tensor([[0.5000, 0.7500]])
        >>> generalized_advantages(rewards, values, torch.tensor([[1, 0]]), gamma=1.0, lam=1.0)
        tensor([[-0.5000,  0.0000]])
        >>> generalized_advantages(rewards, values, torch.tensor([[1, 1]]), 1.0, 1.0, beyond=torch.tensor([2.0]))
        tensor([[2.5000, 2.7500]])
    """
    advantages = torch.zeros_like(values)
    written = mask.bool()
    next_advantage = values.new_zeros(len(values))
    next_value = next_advantage if beyond is None else beyond
    for t in reversed(range(values.shape[1])):
        error = rewards[:, t] + gamma * next_value - values[:, t]
        advantage = error + gamma * lam * next_advantage
        advantages[:, t] = torch.where(written[:, t], advantage, 0.0)
        next_value = torch.where(written[:, t], values[:, t], next_value)
        next_advantage = torch.where(written[:, t], advantage, next_advantage)
    return advantages


def lambda_returns(advantages: PerToken, values: PerToken, mask: Mask) -> PerToken:
    r"""Return what the critic should have said before each token.

    .. math:: R_t = A_t + V_t

    Example:
        >>> lambda_returns(torch.tensor([[0.5, 0.0]]), torch.tensor([[0.25, 9.0]]), torch.tensor([[1, 0]]))
        tensor([[0.7500, 0.0000]])
    """
    return torch.where(mask.bool(), advantages + values, 0.0)


def whiten(values: PerToken, mask: Mask, total: Total = here, epsilon: float = 1e-8) -> PerToken:
    r"""Return the values shifted and scaled to mean 0 and variance 1 over all unmasked tokens.

    .. math:: \hat A_t = (A_t - \mu) / \sqrt{\sigma^2 + \epsilon}

    Reference:
        Huang et al. (2024), https://arxiv.org/abs/2403.17031, detail 25

    Example:
        >>> whiten(torch.tensor([[1.0, 3.0, 100.0]]), torch.tensor([[1, 1, 0]]))
        tensor([[-1.,  1.,  0.]])
    """
    centered = torch.where(mask.bool(), values - masked_mean(values, mask, total), 0.0)
    variance = masked_mean(centered.square(), mask, total)
    return centered * torch.rsqrt(variance + epsilon)


def explained_variance(values: PerToken, returns: PerToken, mask: Mask, total: Total = here) -> Float[Tensor, ""]:
    r"""Return the share of the variance of the returns that the critic foresaw: 1 all, 0 none, below 0 worse.

    .. math:: 1 - \operatorname{Var}(R - V) / \operatorname{Var}(R)

    It is NaN where all returns are equal.

    Example:
        >>> returns, everywhere = torch.tensor([[1.0, 3.0]]), torch.ones(1, 2)
        >>> explained_variance(returns, returns, everywhere)
        tensor(1.)
        >>> explained_variance(torch.tensor([[2.0, 2.0]]), returns, everywhere)
        tensor(0.)
    """
    spread = masked_variance(returns, mask, total)
    return 1 - masked_variance(returns - values, mask, total) / torch.where(spread > 0, spread, torch.nan)


def masked_variance(values: PerToken, mask: Mask, total: Total = here) -> Float[Tensor, ""]:
    """Return the mean squared distance from the mean, over all unmasked tokens."""
    return masked_mean((values - masked_mean(values, mask, total)).square(), mask, total)


def masked_mean(values: PerToken, mask: Mask, total: Total = here) -> Float[Tensor, ""]:
    """Return the mean over all unmasked tokens; 0 where there are none.

    >>> masked_mean(torch.tensor([[1.0, 3.0], [8.0, 9.0]]), torch.tensor([[1, 1], [1, 0]]))
    tensor(4.)
    """
    kept = torch.where(mask.bool(), values, 0.0)
    added, count = total(torch.stack([kept.sum(), mask.sum().to(kept.dtype)]))
    return added / count.clamp(min=1)
