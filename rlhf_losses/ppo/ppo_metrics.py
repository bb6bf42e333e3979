"""What is logged, computed from the tensors of a rollout or of a loss; means over the tokens of all processes."""

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_losses.ppo.formulas import Mask, PerToken, Total, explained_variance, masked_mean


def rollout_metrics(
    scores: PerToken, penalties: PerToken, values: PerToken, returns: PerToken, mask: Mask, total: Total
) -> dict[str, Tensor]:
    """Return how good a rollout is, and how much of it the critic foresaw."""
    return {
        "objective": a_completion(scores - penalties, mask, total),
        "value/mean": masked_mean(values, mask, total),
        "value/explained_variance": explained_variance(values, returns, mask, total),
    }


def kl_metrics(kl: PerToken, coefficient: float, mask: Mask, total: Total) -> dict[str, Tensor]:
    """Return how far the policy is from its reference, and the price of it."""
    return {
        "kl": masked_mean(kl, mask, total),
        "kl_per_completion": a_completion(kl, mask, total),
        "kl_coefficient": torch.tensor(coefficient),
    }


def ratio_metrics(logps: PerToken, old_logps: PerToken, mask: Mask, total: Total) -> dict[str, Tensor]:
    r"""Return how far the policy is from itself at rollout: its mean ratio, and the mean of :math:`k_3`."""
    log_ratios = torch.where(mask.bool(), logps - old_logps, 0.0)
    return {
        "ratio": masked_mean(log_ratios.exp(), mask, total),
        "approx_kl": masked_mean(torch.expm1(log_ratios) - log_ratios, mask, total),
    }


def a_completion(amounts: PerToken, mask: Mask, total: Total) -> Float[Tensor, ""]:
    """Return the mean over completions of what their tokens add up to."""
    kept = torch.where(mask.bool(), amounts, 0.0)
    added, count = total(torch.stack([kept.sum(), kept.new_tensor(float(len(mask)))]))
    return added / count
