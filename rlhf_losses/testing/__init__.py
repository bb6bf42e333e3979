"""For us and for plugin authors: `check_loss` judges built-in losses and yours alike, `check_estimate` estimates.

`rlhf_losses.testing.strategies` holds Hypothesis strategies; it is the only module that needs Hypothesis.
"""

from rlhf_losses.testing.estimate_contract import check_estimate
from rlhf_losses.testing.loss_contract import check_loss

__all__ = ["check_estimate", "check_loss"]
