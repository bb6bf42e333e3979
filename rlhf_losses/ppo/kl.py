"""KL divergence between policy and reference: estimators, adaptive coefficient, early stopping."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainerCallback

from rlhf_losses.ppo.formulas import Mask, PerToken


def log_ratio_to_reference(logps: PerToken, ref_logps: PerToken, mask: Mask) -> PerToken:
    r"""Return the log ratio of policy and reference at each token, in nats and float32.

    $$\log \pi(a_t \mid s_t) - \log \pi_\text{ref}(a_t \mid s_t)$$

    Args:
        logps: log-probabilities of the policy.
        ref_logps: log-probabilities of the reference model.
        mask: 1 at tokens that the policy generated; the result is 0 elsewhere.

    Examples:
        >>> log_ratio_to_reference(torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, -9.0]]), torch.tensor([[1, 0]]))
        tensor([[0.5000, 0.0000]])
    """
    return torch.where(mask.bool(), logps.float() - ref_logps.float(), 0.0)


def k1(log_ratios: PerToken) -> PerToken:
    r"""Return the log ratio: unbiased, and negative where the reference has the higher probability.

    $$k_1 = \log \frac{\pi}{\pi_\text{ref}}$$

    The expectation of its sum over a completion of the policy is the KL divergence to the reference.

    References:
        Ziegler et al. (2019), https://arxiv.org/abs/1909.08593; names from
        Schulman (2020), http://joschu.net/blog/kl-approx.html
    """
    return log_ratios


def k2(log_ratios: PerToken) -> PerToken:
    r"""Return half the squared log ratio: never negative, biased, with low variance.

    $$k_2 = \tfrac12 \left(\log \frac{\pi}{\pi_\text{ref}}\right)^2$$

    Examples:
        >>> k2(torch.tensor([[3.0]]))
        tensor([[4.5000]])
    """
    return 0.5 * log_ratios.square()


def k3(log_ratios: PerToken) -> PerToken:
    r"""Return an estimate that is unbiased and never negative.

    $$k_3 = \frac{\pi_\text{ref}}{\pi} - 1 + \log \frac{\pi}{\pi_\text{ref}}$$

    Examples:
        >>> k3(torch.tensor([[0.0]]))
        tensor([[0.]])
    """
    return torch.expm1(-log_ratios) + log_ratios


ESTIMATORS: dict[str, Callable[[PerToken], PerToken]] = {"k1": k1, "k2": k2, "k3": k3}


@dataclass(frozen=True)
class KLController:
    r"""Fixed or adaptive coefficient of the KL penalty.

    $$\beta \leftarrow \beta \left(1 + \operatorname{clip}(\text{KL} / \text{target} - 1, \pm 0.2)
    \cdot n / \text{horizon}\right)$$

    Args:
        target: desired KL per completion, in nats; None keeps the coefficient fixed.
        horizon: number of completions over which the coefficient changes by at most about 20%.

    References:
        Ziegler et al. (2019), https://arxiv.org/abs/1909.08593, section 2.2

    Examples:
        >>> controller = KLController(target=6.0, horizon=100)
        >>> controller.update(0.1, kl=60.0, completions=50) == 0.1 * (1 + 0.2 * 50 / 100)
        True
    """

    target: float | None = None
    horizon: float = 10_000

    def update(self, coefficient: float, kl: float, completions: float) -> float:
        """Return the coefficient after a rollout.

        Args:
            coefficient: coefficient during the rollout.
            kl: mean KL per completion of the rollout, in nats.
            completions: number of completions of the rollout, over all processes.
        """
        if self.target is None:
            return coefficient
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        return coefficient * (1 + error * completions / self.horizon)


class EarlyStopping(TrainerCallback):
    """Discard a rollout as soon as the policy is too far from the policy that generated it.

    Args:
        limit: largest mean `approx_kl` over the micro-batches of an optimizer step.
        discard_rollout: called after a step beyond the limit; the next step then generates a new rollout.
    """

    def __init__(self, limit: float, discard_rollout: Callable[[], None]) -> None:
        self.limit = limit
        self.discard_rollout = discard_rollout
        self._approx_kls: list[float] = []

    def update(self, approx_kl: float) -> None:
        """Add the `approx_kl` of a micro-batch."""
        self._approx_kls.append(approx_kl)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Compare the mean of the step with the limit."""
        values, self._approx_kls = self._approx_kls, []
        if values and sum(values) / len(values) > self.limit:
            self.discard_rollout()
