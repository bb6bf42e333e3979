"""The scale of scores: a running mean and spread, for reward functions whose scale is not known beforehand."""

from dataclasses import dataclass

import torch

from rlhf_losses.ppo.formulas import Total, here
from rlhf_losses.ppo.rewards import PerTokenRewards


@dataclass
class RunningMeanStd:
    """Mean and variance of all payments so far, over all processes.

    Batches are merged with the formulas of Chan et al. (1979), so nothing is lost to large means.

    Example:
        >>> scale = RunningMeanStd()
        >>> paid = torch.ones(1, 2, dtype=torch.bool)
        >>> scale.see(PerTokenRewards(torch.tensor([[1.0, 3.0]]), paid))
        >>> scale.see(PerTokenRewards(torch.tensor([[5.0, 7.0]]), paid))
        >>> scale.mean, scale.variance
        (4.0, 5.0)
    """

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def variance(self) -> float:
        """Return the mean squared distance from the mean; 0 before anything was seen."""
        return self.squares / max(self.count, 1.0)

    def see(self, payments: PerTokenRewards, total: Total = here) -> None:
        """Take a batch into account."""
        amounts = payments.amounts[payments.paid].float()
        added, count = total(torch.stack([amounts.sum(), amounts.new_tensor(float(len(amounts)))])).tolist()
        if not count:
            return
        mean = added / count
        spread = total((amounts - mean).square().sum()).item()
        everything, apart = self.count + count, mean - self.mean
        self.squares += spread + apart**2 * self.count * count / everything
        self.mean += apart * count / everything
        self.count = everything

    def standardize(self, payments: PerTokenRewards) -> PerTokenRewards:
        """Return payments with mean 0 and variance 1 over everything seen; as long as all were equal, with mean 0."""
        scaled = (payments.amounts - self.mean) / (self.variance**0.5 or 1.0)
        return PerTokenRewards(torch.where(payments.paid, scaled, 0.0), payments.paid)


def clip(payments: PerTokenRewards, limit: float) -> PerTokenRewards:
    """Return payments no larger than `limit` in size.

    >>> clip(PerTokenRewards(torch.tensor([[-7.0, 0.5]]), torch.tensor([[True, True]])), limit=5.0).amounts
    tensor([[-5.0000,  0.5000]])
    """
    return PerTokenRewards(payments.amounts.clamp(-limit, limit), payments.paid)
