"""Feedback: annotations of texts, as index tensors into one vector of scores."""

from rlhf_losses.feedback.attributes import Attributes
from rlhf_losses.feedback.base import Answer, Feedback
from rlhf_losses.feedback.labels import Labels
from rlhf_losses.feedback.lengths import Lengths
from rlhf_losses.feedback.mixed import Mixed, shift_positions
from rlhf_losses.feedback.pairs import Pairs
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.feedback.rankings import Rankings
from rlhf_losses.feedback.ratings import Ratings
from rlhf_losses.feedback.steps import Steps
from rlhf_losses.feedback.stepwise_rankings import StepwiseRankings
from rlhf_losses.feedback.types import (
    FEEDBACK_TYPES,
    IMPLICIT_TYPES,
    STEPWISE_TYPES,
    feedback_types_in_columns,
    feedback_types_of_row,
    find_source_type,
)
from rlhf_losses.feedback.votes import Votes

__all__ = [
    "FEEDBACK_TYPES",
    "IMPLICIT_TYPES",
    "STEPWISE_TYPES",
    "Answer",
    "Attributes",
    "Feedback",
    "Labels",
    "Lengths",
    "Mixed",
    "Pairs",
    "Ragged",
    "Rankings",
    "Ratings",
    "Steps",
    "StepwiseRankings",
    "Votes",
    "feedback_types_in_columns",
    "feedback_types_of_row",
    "find_source_type",
    "shift_positions",
]
