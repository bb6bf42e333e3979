"""AttentionOptions good a reward model is: pure functions of scores and feedback."""

from rlhf_losses.metrics.agreement import agreement
from rlhf_losses.metrics.tally import Tally, add_tallies

__all__ = ["Tally", "add_tallies", "agreement"]
