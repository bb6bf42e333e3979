"""For us and for plugin authors: `check_loss` judges built-in losses and yours alike.

`rlhf_losses.testing.strategies` holds Hypothesis strategies; it is the only module that needs Hypothesis.
"""

from rlhf_losses.testing.checks import check_loss

__all__ = ["check_loss"]
