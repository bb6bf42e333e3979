"""Contract tests of plugins: `check_loss`, `check_converter`, `check_transform` and `check_estimate`.

`rlhf_losses.testing.strategies` has Hypothesis strategies; it is the only module that needs Hypothesis.
"""

from rlhf_losses.testing.converter_contract import check_converter
from rlhf_losses.testing.estimate_contract import check_estimate
from rlhf_losses.testing.loss_contract import check_loss
from rlhf_losses.testing.transform_contract import check_transform

__all__ = ["check_converter", "check_estimate", "check_loss", "check_transform"]
