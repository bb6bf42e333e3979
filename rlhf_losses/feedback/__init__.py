"""What people said: pairs, rankings, ratings, labels, steps, stepwise rankings and votes over a vector of scores."""

from rlhf_losses.feedback.attributes import Attributes
from rlhf_losses.feedback.base import Answer, Feedback
from rlhf_losses.feedback.groups import Groups
from rlhf_losses.feedback.kinds import ALWAYS_THERE, IN_STEPS, KINDS, kinds_held, kinds_in_columns, source_for
from rlhf_losses.feedback.labels import Labels
from rlhf_losses.feedback.lengths import Lengths
from rlhf_losses.feedback.mixed import Mixed
from rlhf_losses.feedback.pairs import Pairs
from rlhf_losses.feedback.rankings import Rankings
from rlhf_losses.feedback.ratings import Ratings
from rlhf_losses.feedback.steps import Steps
from rlhf_losses.feedback.stepwise_rankings import StepwiseRankings
from rlhf_losses.feedback.votes import Votes

__all__ = [
    "ALWAYS_THERE",
    "IN_STEPS",
    "KINDS",
    "Answer",
    "Attributes",
    "Feedback",
    "Groups",
    "Labels",
    "Lengths",
    "Mixed",
    "Pairs",
    "Rankings",
    "Ratings",
    "Steps",
    "StepwiseRankings",
    "Votes",
    "kinds_held",
    "kinds_in_columns",
    "source_for",
]
