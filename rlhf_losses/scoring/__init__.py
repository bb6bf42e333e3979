"""Using reward models: load them, score with them, measure them."""

from rlhf_losses.scoring.best_of import best_of, kl_of_best_of
from rlhf_losses.scoring.estimation import fit_estimate
from rlhf_losses.scoring.estimator import Estimator
from rlhf_losses.scoring.evaluation import evaluate
from rlhf_losses.scoring.metadata import RewardModelMetadata
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.scoring.standardized import StandardizedScorer, fit_reference

__all__ = [
    "RewardModelMetadata",
    "Estimator",
    "Scorer",
    "StandardizedScorer",
    "best_of",
    "evaluate",
    "fit_estimate",
    "fit_reference",
    "kl_of_best_of",
]
