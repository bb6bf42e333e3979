"""Using reward models: load them, score with them, measure them."""

from rlhf_losses.scoring.description import Description
from rlhf_losses.scoring.evaluation import evaluate
from rlhf_losses.scoring.scorer import Scorer

__all__ = ["Description", "Scorer", "evaluate"]
