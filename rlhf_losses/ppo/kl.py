"""The KL penalty: how far the policy is from its reference, and what that costs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from rlhf_losses.ppo.formulas import Mask, PerToken


def log_ratio_to_reference(logps: PerToken, ref_logps: PerToken, mask: Mask) -> PerToken:
    r"""Return how much likelier the policy makes each of its tokens than the reference does, in nats.

    .. math:: \log \pi(a_t \mid s_t) - \log \pi_\text{ref}(a_t \mid s_t)

    Example:
        >>> log_ratio_to_reference(torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, -9.0]]), torch.tensor([[1, 0]]))
        tensor([[0.5000, 0.0000]])
    """
    return torch.where(mask.bool(), logps.float() - ref_logps.float(), 0.0)


def k1(log_ratios: PerToken) -> PerToken:
    r"""Return the log ratio itself: unbiased, and negative wherever the reference likes a token better.

    .. math:: k_1 = \log \frac{\pi}{\pi_\text{ref}}

    Its sum over a completion of the policy's is an unbiased estimate of the KL divergence to the reference.

    Reference:
        Ziegler et al. (2019), https://arxiv.org/abs/1909.08593; the names are of
        http://joschu.net/blog/kl-approx.html
    """
    return log_ratios


def k2(log_ratios: PerToken) -> PerToken:
    r"""Return half the squared log ratio: never negative, biased, of low variance.

    .. math:: k_2 = \tfrac12 \left(\log \frac{\pi}{\pi_\text{ref}}\right)^2

    >>> k2(torch.tensor([[3.0]]))
    tensor([[4.5000]])
    """
    return 0.5 * log_ratios.square()


def k3(log_ratios: PerToken) -> PerToken:
    r"""Return an estimate that is unbiased and never negative.

    .. math:: k_3 = \frac{\pi_\text{ref}}{\pi} - 1 + \log \frac{\pi}{\pi_\text{ref}}

    >>> k3(torch.tensor([[0.0]]))
    tensor([[0.]])
    """
    return torch.expm1(-log_ratios) + log_ratios


ESTIMATORS: dict[str, Callable[[PerToken], PerToken]] = {"k1": k1, "k2": k2, "k3": k3}


@dataclass
class KLController:
    r"""The price of a nat of KL: fixed, or adapted so that completions stay `target` nats from the reference.

    .. math:: \beta \leftarrow \beta \left(1 + \operatorname{clip}(\text{KL} / \text{target} - 1, \pm 0.2)
        \cdot n / \text{horizon}\right)

    Args:
        value: the coefficient now.
        target: KL a completion to hold, in nats; None holds the coefficient instead.
        horizon: completions in which the coefficient may about change by a fifth.

    Reference:
        Ziegler et al. (2019), https://arxiv.org/abs/1909.08593, section 2.2

    Example:
        >>> coefficient = KLController(0.1, target=6.0, horizon=100)
        >>> coefficient.update(kl=60.0, completions=50)
        >>> coefficient.value == 0.1 * (1 + 0.2 * 50 / 100)
        True
    """

    value: float
    target: float | None = None
    horizon: float = 10_000

    def update(self, kl: float, completions: float) -> None:
        """Move the coefficient after a rollout of so many completions, so many nats a completion away."""
        if self.target is not None:
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.value *= 1 + error * completions / self.horizon
