"""The parts of a plugin that works; tests break them one at a time."""

HEAD = """
from dataclasses import dataclass
from rlhf_losses import Adapter, ListwiseLoss, Loss, PairwiseLoss, hookimpl
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

ADAPTER = """
class Duels(Adapter):
    \"\"\"A winner and a loser a row.\"\"\"

    columns = (("winner", "loser"),)
    source = "https://example.org/duels"

    def read(self, row):
        return [{"chosen": row["winner"], "rejected": row["loser"]}]
"""

ADAPTER_HOOK = """
@hookimpl
def provide_adapters():
    return [Duels]
"""
