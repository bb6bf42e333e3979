"""Use of reward models: scoring, evaluation, score transforms and score estimates."""

from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.scoring.best_of import best_of, kl_of_best_of
from rlhf_losses.scoring.ensemble import Ensemble
from rlhf_losses.scoring.estimates import Estimator
from rlhf_losses.scoring.evaluation import evaluate
from rlhf_losses.scoring.fitting import fit_estimate, fit_reference
from rlhf_losses.scoring.metadata import RewardModelMetadata, describe_model
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.scoring.suite_evaluation import SuiteEvaluation, evaluate_suite

__all__ = [
    "Ensemble",
    "Estimator",
    "Evaluation",
    "RewardModelMetadata",
    "Scorer",
    "SuiteEvaluation",
    "best_of",
    "describe_model",
    "evaluate",
    "evaluate_suite",
    "fit_estimate",
    "fit_reference",
    "kl_of_best_of",
]
