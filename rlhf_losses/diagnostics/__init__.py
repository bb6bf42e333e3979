"""How good a reward model is: pure functions of scores and feedback."""

from rlhf_losses.diagnostics.metrics import agreement
from rlhf_losses.diagnostics.tally import Tally, add_tallies

__all__ = ["Tally", "add_tallies", "agreement"]
