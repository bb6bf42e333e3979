"""The parts of a plugin that works; tests break them one at a time."""

HEAD = """
from dataclasses import dataclass
from rlhf_losses import DatasetConverter, ScoreEstimate, ListwiseLoss, Loss, PairwiseLoss, hookimpl
"""

LOSS = """
@dataclass(frozen=True)
class Absolute(PairwiseLoss):
    \"\"\"Absolute score_difference.\"\"\"

    def per_pair(self, score_difference):
        return score_difference.abs()
"""

HOOK = """
@hookimpl
def provide_losses():
    return [Absolute]
"""

ADAPTER = """
class Duels(DatasetConverter):
    \"\"\"A winner and a loser a row.\"\"\"

    columns = (("winner", "loser"),)
    source = "https://example.org/duels"

    def read(self, row):
        return [{"chosen": row["winner"], "rejected": row["loser"]}]
"""

CONVERTER_HOOK = """
@hookimpl
def provide_dataset_converters():
    return [Duels]
"""

ESTIMATE = """
@dataclass(frozen=True)
class Remoteness(ScoreEstimate):
    \"\"\"Distance of what the score head reads from its mean.\"\"\"

    power: float = 2.0

    def fit(self, evidence):
        sums = [(one.features.sum(0), len(one.features)) for one in evidence]
        return {"mean": sum(total for total, _ in sums) / sum(count for _, count in sums)}

    def read(self, features, scores, mean):
        return ((features - mean).abs() ** self.power).sum(1) ** (1 / self.power)
"""

ESTIMATE_HOOK = """
@hookimpl
def provide_score_estimates():
    return [Remoteness]
"""
