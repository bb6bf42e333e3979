"""Formulas of PPO: advantages, returns, whitening, value loss and masked statistics, as pure functions of tensors.

Tensors have the shape (completions, tokens). Masks are 1 at the tokens that the policy generated; values at masked
positions are ignored, and results are 0 there. Functions that average accept `all_reduce`, which sums a tensor over
all processes; the default is a single process.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PerCompletion = Float[Tensor, "completion"]
PerToken = Float[Tensor, "completion token"]
Mask = Bool[Tensor, "completion token"] | Int[Tensor, "completion token"] | Float[Tensor, "completion token"]
AllReduce = Callable[[Tensor], Tensor]
"""Sums a tensor over all processes."""


def single_process(sums: Tensor) -> Tensor:
    """Return the sums unchanged: the `all_reduce` of a single process."""
    return sums


def generalized_advantages(
    rewards: PerToken,
    values: PerToken,
    mask: Mask,
    gamma: float,
    lam: float,
    bootstrap_value: PerCompletion | None = None,
) -> PerToken:
    r"""Return the generalized advantage estimate (GAE) of every token.

    $$\delta_t = r_t + \gamma V_{t+1} - V_t, \qquad A_t = \delta_t + \gamma \lambda A_{t+1}$$

    After the last token of a completion $A$ is 0 and $V$ is `bootstrap_value`. Masked tokens inside a completion, such
    as the output of a tool, are not actions: the next unmasked token follows directly.

    Args:
        rewards: reward of each token.
        values: expected return before each token.
        mask: 1 at tokens that the policy generated.
        gamma: discount factor per token.
        lam: decay factor; 1 gives the return minus the value, 0 the one-step error.
        bootstrap_value: expected return after the last token of each completion; 0 by default.

    Returns:
        Advantages, 0 at masked tokens.

    References:
        Schulman et al. (2015), https://arxiv.org/abs/1506.02438

    Examples:
        >>> rewards, values = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.25]])
        >>> generalized_advantages(rewards, values, torch.tensor([[1, 1]]), gamma=1.0, lam=1.0)
        tensor([[0.5000, 0.7500]])
        >>> generalized_advantages(rewards, values, torch.tensor([[1, 0]]), gamma=1.0, lam=1.0)
        tensor([[-0.5000,  0.0000]])
        >>> bootstrap_value = torch.tensor([2.0])
        >>> generalized_advantages(rewards, values, torch.tensor([[1, 1]]), 1.0, 1.0, bootstrap_value)
        tensor([[2.5000, 2.7500]])
    """
    advantages = torch.zeros_like(values)
    actions = mask.bool()
    next_advantage = values.new_zeros(len(values))
    next_value = next_advantage if bootstrap_value is None else bootstrap_value
    for t in reversed(range(values.shape[1])):
        error = rewards[:, t] + gamma * next_value - values[:, t]
        advantage = error + gamma * lam * next_advantage
        advantages[:, t] = torch.where(actions[:, t], advantage, 0.0)
        next_value = torch.where(actions[:, t], values[:, t], next_value)
        next_advantage = torch.where(actions[:, t], advantage, next_advantage)
    return advantages


def lambda_returns(advantages: PerToken, values: PerToken, mask: Mask) -> PerToken:
    r"""Return the regression targets of the critic.

    $$R_t = A_t + V_t$$

    Args:
        advantages: generalized advantage estimates, not whitened.
        values: expected return before each token.
        mask: 1 at tokens that the policy generated.

    Returns:
        Returns, 0 at masked tokens.

    Examples:
        >>> lambda_returns(torch.tensor([[0.5, 0.0]]), torch.tensor([[0.25, 9.0]]), torch.tensor([[1, 0]]))
        tensor([[0.7500, 0.0000]])
    """
    return torch.where(mask.bool(), advantages + values, 0.0)


def whiten(values: PerToken, mask: Mask, all_reduce: AllReduce = single_process, epsilon: float = 1e-8) -> PerToken:
    r"""Shift and scale values to mean 0 and variance 1 over all unmasked tokens.

    $$\hat A_t = \frac{A_t - \mu}{\sqrt{\sigma^2 + \epsilon}}$$

    Args:
        values: one value per token.
        mask: 1 at tokens that the policy generated.
        all_reduce: sums a tensor over all processes.
        epsilon: added to the variance.

    Returns:
        Whitened values, 0 at masked tokens.

    References:
        Huang et al. (2024), https://arxiv.org/abs/2403.17031, detail 25

    Examples:
        >>> whiten(torch.tensor([[1.0, 3.0, 100.0]]), torch.tensor([[1, 1, 0]]))
        tensor([[-1.,  1.,  0.]])
    """
    centered = torch.where(mask.bool(), values - masked_mean(values, mask, all_reduce), 0.0)
    variance = masked_mean(centered.square(), mask, all_reduce)
    return centered * torch.rsqrt(variance + epsilon)


def clipped_value_error(values: PerToken, old_values: PerToken, returns: PerToken, cliprange: float) -> PerToken:
    r"""Return the clipped squared error of each value.

    $$\tfrac12 \max\left((V - R)^2,\ (V_\text{old} + \operatorname{clip}(V - V_\text{old}, \pm c) - R)^2\right)$$

    A value that has moved towards its return by more than $c$ has no gradient.

    Args:
        values: values of the critic now.
        old_values: values of the critic at rollout.
        returns: regression targets.
        cliprange: $c$, in units of the values.

    References:
        Huang et al. (2024), https://arxiv.org/abs/2403.17031

    Examples:
        >>> new, old, returns = torch.tensor([[0.5]]), torch.tensor([[0.0]]), torch.tensor([[1.0]])
        >>> clipped_value_error(new, old, returns, cliprange=0.25) == 0.5 * (0.25 - 1.0) ** 2
        tensor([[True]])
    """
    clipped = torch.clamp(values, old_values - cliprange, old_values + cliprange)
    return 0.5 * torch.max((values - returns).square(), (clipped - returns).square())


def explained_variance(
    values: PerToken, returns: PerToken, mask: Mask, all_reduce: AllReduce = single_process
) -> Float[Tensor, ""]:
    r"""Return the share of the variance of the returns that the values explain.

    $$1 - \frac{\operatorname{Var}(R - V)}{\operatorname{Var}(R)}$$

    Args:
        values: values of the critic at rollout.
        returns: regression targets.
        mask: 1 at tokens that the policy generated.
        all_reduce: sums a tensor over all processes.

    Returns:
        1 for perfect values, 0 for constant ones, less than 0 for worse; NaN if all returns are equal.

    Examples:
        >>> returns, mask = torch.tensor([[1.0, 3.0]]), torch.ones(1, 2)
        >>> explained_variance(returns, returns, mask)
        tensor(1.)
        >>> explained_variance(torch.tensor([[2.0, 2.0]]), returns, mask)
        tensor(0.)
    """
    variance = masked_variance(returns, mask, all_reduce)
    residual = masked_variance(returns - values, mask, all_reduce)
    return 1 - residual / torch.where(variance > 0, variance, torch.nan)


def least_squares_line(
    values: PerToken, returns: PerToken, mask: Mask, all_reduce: AllReduce = single_process
) -> tuple[float, float]:
    r"""Return slope and intercept of the line through values that is closest to returns in squared error.

    $$\min_{a \ge 0,\, b} \sum_t (a V_t + b - R_t)^2$$

    Args:
        values: values of the critic.
        returns: regression targets.
        mask: 1 at tokens that the policy generated.
        all_reduce: sums a tensor over all processes.

    Returns:
        Slope $a$, 0 if the values are constant or decrease with the returns, and intercept $b$.

    Examples:
        >>> values = torch.tensor([[1.0, 2.0, 3.0]])
        >>> [round(number, 3) for number in least_squares_line(values, 10 * values - 4, torch.ones(1, 3))]
        [10.0, -4.0]
        >>> least_squares_line(torch.zeros(1, 3), values, torch.ones(1, 3))
        (0.0, 2.0)
    """
    mean_value, mean_return = (masked_mean(one, mask, all_reduce) for one in (values, returns))
    deviations = values - mean_value
    variance = masked_mean(deviations.square(), mask, all_reduce)
    covariance = masked_mean(deviations * (returns - mean_return), mask, all_reduce)
    slope = torch.where(variance > 0, covariance / variance, 0.0).clamp(min=0)
    return slope.item(), (mean_return - slope * mean_value).item()


def masked_variance(values: PerToken, mask: Mask, all_reduce: AllReduce = single_process) -> Float[Tensor, ""]:
    """Return the mean squared deviation from the mean, over all unmasked tokens."""
    return masked_mean((values - masked_mean(values, mask, all_reduce)).square(), mask, all_reduce)


def masked_mean(values: PerToken, mask: Mask, all_reduce: AllReduce = single_process) -> Float[Tensor, ""]:
    """Return the mean over all unmasked tokens; 0 if there are none.

    Examples:
        >>> masked_mean(torch.tensor([[1.0, 3.0], [8.0, 9.0]]), torch.tensor([[1, 1], [1, 0]]))
        tensor(4.)
    """
    kept = torch.where(mask.bool(), values, 0.0)
    total, count = all_reduce(torch.stack([kept.sum(), mask.sum().to(kept.dtype)])).unbind()
    return total / count.clamp(min=1)


def mean_per_completion(values: PerToken, mask: Mask, all_reduce: AllReduce = single_process) -> Float[Tensor, ""]:
    """Return the mean over completions of the sum over their unmasked tokens.

    Examples:
        >>> mean_per_completion(torch.tensor([[1.0, 3.0], [8.0, 9.0]]), torch.tensor([[1, 1], [1, 0]]))
        tensor(6.)
    """
    kept = torch.where(mask.bool(), values, 0.0)
    total, count = all_reduce(torch.stack([kept.sum(), kept.new_tensor(float(len(mask)))])).unbind()
    return total / count


def last_token(mask: Mask) -> Bool[Tensor, "completion token"]:
    """Return True at the last unmasked token of each completion.

    Examples:
        >>> last_token(torch.tensor([[1, 1, 0], [0, 0, 0], [1, 0, 1]])).int()
        tensor([[0, 1, 0],
                [0, 0, 0],
                [0, 0, 1]], dtype=torch.int32)
    """
    actions = mask.bool()
    return actions & (actions.cumsum(1) == actions.sum(1, keepdim=True))


def ends_with(
    token_ids: Int[Tensor, "completion token"], mask: Mask, end_token_ids: Sequence[int]
) -> Bool[Tensor, "completion"]:
    """Return whether the last unmasked token of each completion is one of `end_token_ids`.

    Examples:
        >>> ends_with(torch.tensor([[5, 2, 0], [5, 5, 5]]), torch.tensor([[1, 1, 0], [1, 1, 1]]), end_token_ids=[2])
        tensor([ True, False])
    """
    ends = torch.tensor(end_token_ids, device=token_ids.device)
    return (last_token(mask) & torch.isin(token_ids, ends)).any(1)
