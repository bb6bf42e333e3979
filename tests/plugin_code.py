"""The parts of a plugin that works; tests break them one at a time."""

HEAD = """
from dataclasses import dataclass
from rlhf_losses import ListwiseLoss, Loss, PairwiseLoss, hookimpl
"""

LOSS = """
@dataclass(frozen=True)
class Absolute(PairwiseLoss):
    \"\"\"Absolute lead.\"\"\"

    def per_pair(self, lead):
        return lead.abs()
"""

HOOK = """
@hookimpl
def provide_losses():
    return [Absolute]
"""
