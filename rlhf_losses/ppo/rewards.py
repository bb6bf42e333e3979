"""Rewards: what each token is paid. The KL penalty at every token, the score at the last. Pure functions."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhf_losses.ppo.advantages import Mask, PerToken

PerCompletion = Float[Tensor, "completion"]


def log_ratio_to_reference(logps: PerToken, ref_logps: PerToken, mask: Mask) -> PerToken:
    r"""Return how much likelier the policy makes each of its tokens than the reference does, in nats.

    .. math:: \log \pi(a_t \mid s_t) - \log \pi_\text{ref}(a_t \mid s_t)

    Its sum over a completion of the policy's is an unbiased estimate of the KL divergence to the reference.

    Reference:
        Ziegler et al. (2019), https://arxiv.org/abs/1909.08593; as an estimate, "k1" in
        http://joschu.net/blog/kl-approx.html

    Example:
        >>> log_ratio_to_reference(torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, -9.0]]), torch.tensor([[1, 0]]))
        tensor([[0.5000, 0.0000]])
    """
    return torch.where(mask.bool(), logps.float() - ref_logps.float(), 0.0)


def token_rewards(scores: PerCompletion, log_ratios: PerToken, mask: Mask, beta: float) -> PerToken:
    r"""Return the reward of each token: minus the penalty, plus the score of the completion at its last token.

    .. math:: r_t = -\beta \log \frac{\pi(a_t \mid s_t)}{\pi_\text{ref}(a_t \mid s_t)} + [t = T]\, s

    The last token is the last one the policy wrote: EOS, or where it was cut off. A score of NaN (no reward
    function had an opinion) pays nothing, and a completion without tokens is paid nothing.

    Example:
        >>> scores, log_ratios = torch.tensor([2.0]), torch.tensor([[0.5, 1.0, 0.0]])
        >>> token_rewards(scores, log_ratios, torch.tensor([[1, 1, 0]]), beta=0.1)
        tensor([[-0.0500,  1.9000,  0.0000]])
    """
    paid = torch.where(last_token(mask), scores.masked_fill(scores.isnan(), 0.0).unsqueeze(1), 0.0)
    return torch.where(mask.bool(), paid - beta * log_ratios, 0.0)


def last_token(mask: Mask) -> Bool[Tensor, "completion token"]:
    """Return True at the last unmasked token of each completion.

    >>> last_token(torch.tensor([[1, 1, 0], [0, 0, 0], [1, 0, 1]])).int()
    tensor([[0, 1, 0],
            [0, 0, 0],
            [0, 0, 1]], dtype=torch.int32)
    """
    written = mask.bool()
    return written & (written.cumsum(1) == written.sum(1, keepdim=True))


def weighted_scores(scores: Float[Tensor, "completion function"], weights: Float[Tensor, "function"]) -> PerCompletion:
    """Return the weighted sum over reward functions; a function that gave NaN is left out, NaN where all did.

    >>> weighted_scores(torch.tensor([[1.0, 2.0], [1.0, torch.nan]]), torch.tensor([1.0, 0.5]))
    tensor([2., 1.])
    """
    silent = scores.isnan().all(dim=1)
    return (scores * weights).nansum(dim=1).masked_fill(silent, torch.nan)
