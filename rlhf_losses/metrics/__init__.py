"""Metrics of reward models: pure functions of scores and feedback, with exact means over batches."""

from rlhf_losses.metrics.agreement import agreement
from rlhf_losses.metrics.tally import Tally, add_tallies

__all__ = ["Tally", "add_tallies", "agreement"]
