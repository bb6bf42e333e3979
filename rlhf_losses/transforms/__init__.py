"""Score transforms and score estimates, which are computed from scores after training."""

from rlhf_losses.transforms.base import (
    Evidence,
    Fitted,
    Requirement,
    ScoredTexts,
    ScoreEstimate,
    ScoreTransform,
)
from rlhf_losses.transforms.clip import Clip, clip
from rlhf_losses.transforms.pipeline import FittedPipeline, TransformPipeline, parse_transforms
from rlhf_losses.transforms.standardize import Standardize, standardize

__all__ = [
    "Clip",
    "Evidence",
    "Fitted",
    "FittedPipeline",
    "Requirement",
    "ScoreEstimate",
    "ScoreTransform",
    "ScoredTexts",
    "Standardize",
    "TransformPipeline",
    "clip",
    "parse_transforms",
    "standardize",
]
