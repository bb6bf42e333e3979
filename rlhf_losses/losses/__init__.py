"""What feedback costs: one number an item, and sums of such losses."""

from rlhf_losses.losses.algebra import NamedSum, Sum, Term
from rlhf_losses.losses.base import LabelLoss, ListwiseLoss, Loss, PairwiseLoss, RatingLoss, Regularizer, StepwiseLoss
from rlhf_losses.losses.claims import Claims
from rlhf_losses.losses.expression import parse
from rlhf_losses.losses.listwise.accumulated_pairs import AccumulatedPairs, accumulated_pairs
from rlhf_losses.losses.listwise.plackett_luce import PlackettLuce, plackett_luce
from rlhf_losses.losses.pairwise.bradley_terry import BradleyTerry, bradley_terry
from rlhf_losses.losses.pairwise.centered_bradley_terry import CenteredBradleyTerry, centered_bradley_terry
from rlhf_losses.losses.pairwise.hinge import Hinge, hinge
from rlhf_losses.losses.pointwise.cross_entropy import CrossEntropy, cross_entropy
from rlhf_losses.losses.pointwise.pointwise_hinge import PointwiseHinge, pointwise_hinge
from rlhf_losses.losses.pointwise.squared_error import SquaredError, squared_error
from rlhf_losses.losses.regularizers.centering import Centering, centering
from rlhf_losses.losses.regularizers.score_decay import ScoreDecay, score_decay
from rlhf_losses.losses.stepwise.segment_hinge import SegmentHinge, segment_hinge
from rlhf_losses.losses.stepwise.segment_rating import SegmentRating, segment_rating

__all__ = [
    "AccumulatedPairs",
    "BradleyTerry",
    "CenteredBradleyTerry",
    "Centering",
    "Claims",
    "CrossEntropy",
    "Hinge",
    "LabelLoss",
    "ListwiseLoss",
    "Loss",
    "NamedSum",
    "PairwiseLoss",
    "PlackettLuce",
    "PointwiseHinge",
    "RatingLoss",
    "Regularizer",
    "ScoreDecay",
    "SegmentHinge",
    "SegmentRating",
    "SquaredError",
    "StepwiseLoss",
    "Sum",
    "Term",
    "accumulated_pairs",
    "bradley_terry",
    "centered_bradley_terry",
    "centering",
    "cross_entropy",
    "hinge",
    "parse",
    "plackett_luce",
    "pointwise_hinge",
    "score_decay",
    "segment_hinge",
    "segment_rating",
    "squared_error",
]
