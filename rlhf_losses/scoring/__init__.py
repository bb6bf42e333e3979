"""Using reward models: load them, score with them, measure them."""

from rlhf_losses.scoring.description import Description
from rlhf_losses.scoring.evaluation import evaluate
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.scoring.standardized import StandardizedScorer, fit_reference

__all__ = ["Description", "Scorer", "StandardizedScorer", "evaluate", "fit_reference"]
