"""Source code of plugins for tests. Tests change one part to break the contract."""

HEAD = """
from dataclasses import dataclass
from rlhf_losses import (
    DatasetConverter, ListwiseLoss, Loss, PairwiseLoss, ScoreEstimate, ScoreTransform, hookimpl
)
"""

LOSS = """
@dataclass(frozen=True)
class Absolute(PairwiseLoss):
    \"\"\"Absolute score difference.\"\"\"

    def per_pair(self, score_difference):
        return score_difference.abs()
"""

LOSS_HOOK = """
@hookimpl
def provide_losses():
    return [Absolute]
"""

CONVERTER = """
class Duels(DatasetConverter):
    \"\"\"Pairs with one winner and one loser.\"\"\"

    columns = (("winner", "loser"),)
    source = "https://example.org/duels"

    def convert(self, row):
        return [{"chosen": row["winner"], "rejected": row["loser"]}]
"""

CONVERTER_HOOK = """
@hookimpl
def provide_dataset_converters():
    return [Duels]
"""

TRANSFORM = """
@dataclass(frozen=True)
class Squash(ScoreTransform):
    \"\"\"Hyperbolic tangent of the score.\"\"\"

    scale: float = 1.0
    monotone = True

    def apply(self, texts, fitted):
        return (texts.scores / self.scale).tanh()
"""

TRANSFORM_HOOK = """
@hookimpl
def provide_score_transforms():
    return [Squash]
"""

ESTIMATE = """
@dataclass(frozen=True)
class Remoteness(ScoreEstimate):
    \"\"\"Distance between the features and their mean.\"\"\"

    power: float = 2.0

    def fit(self, evidence):
        sums = [(one.features.sum(0), len(one.features)) for one in evidence]
        return {"mean": sum(total for total, _ in sums) / sum(count for _, count in sums)}

    def predict(self, texts, fitted):
        return ((texts.features - fitted["mean"]).abs() ** self.power).sum(1) ** (1 / self.power)
"""

ESTIMATE_HOOK = """
@hookimpl
def provide_score_estimates():
    return [Remoteness]
"""
