"""Losses over feedback, and weighted sums of losses."""

from rlhf_losses.losses.base import AnyLoss, Loss, LossExpression, NamedObjective, Objective, Term, WeightedSum
from rlhf_losses.losses.families import (
    BatchLoss,
    GradedLoss,
    LabelLoss,
    ListwiseLoss,
    PairwiseLoss,
    RatingLoss,
    Regularizer,
    StepwiseLoss,
    TieLoss,
)
from rlhf_losses.losses.listwise.accumulated_pairs import AccumulatedPairs, accumulated_pairs
from rlhf_losses.losses.listwise.best_of_n import BestOfN, best_of_n
from rlhf_losses.losses.listwise.lambda_ndcg import LambdaNdcg, lambda_ndcg
from rlhf_losses.losses.listwise.list_net import ListNet, list_net
from rlhf_losses.losses.listwise.plackett_luce import PlackettLuce, plackett_luce
from rlhf_losses.losses.pairwise.bradley_terry import BradleyTerry, bradley_terry
from rlhf_losses.losses.pairwise.centered_bradley_terry import CenteredBradleyTerry, centered_bradley_terry
from rlhf_losses.losses.pairwise.davidson import Davidson, davidson
from rlhf_losses.losses.pairwise.eurus import Eurus, eurus
from rlhf_losses.losses.pairwise.focal_bradley_terry import FocalBradleyTerry, focal_bradley_terry
from rlhf_losses.losses.pairwise.hinge import Hinge, hinge
from rlhf_losses.losses.pairwise.independent_classification import IndependentClassification, independent_classification
from rlhf_losses.losses.pairwise.ordinal_preference import OrdinalPreference, ordinal_preference
from rlhf_losses.losses.pairwise.rao_kupper import RaoKupper, rao_kupper
from rlhf_losses.losses.pairwise.robust_bradley_terry import RobustBradleyTerry, robust_bradley_terry
from rlhf_losses.losses.pairwise.squared_difference import SquaredDifference, squared_difference
from rlhf_losses.losses.pairwise.thurstone import Thurstone, thurstone
from rlhf_losses.losses.parser import parse
from rlhf_losses.losses.pointwise.cross_entropy import CrossEntropy, cross_entropy
from rlhf_losses.losses.pointwise.huber import Huber, huber
from rlhf_losses.losses.pointwise.multi_attribute import MultiAttribute, multi_attribute
from rlhf_losses.losses.pointwise.ordinal_rating import OrdinalRating, ordinal_rating
from rlhf_losses.losses.pointwise.pointwise_hinge import PointwiseHinge, pointwise_hinge
from rlhf_losses.losses.pointwise.squared_error import SquaredError, squared_error
from rlhf_losses.losses.properties import LossProperty
from rlhf_losses.losses.regularizers.batch_sum_to_zero import BatchSumToZero, batch_sum_to_zero
from rlhf_losses.losses.regularizers.centering import Centering, centering
from rlhf_losses.losses.regularizers.length_decorrelation import LengthDecorrelation, length_decorrelation
from rlhf_losses.losses.regularizers.log_barrier import LogBarrier, log_barrier
from rlhf_losses.losses.regularizers.score_decay import ScoreDecay, score_decay
from rlhf_losses.losses.stepwise.aggregated import Aggregated, aggregated
from rlhf_losses.losses.stepwise.pqm import Pqm, pqm
from rlhf_losses.losses.stepwise.segment_hinge import SegmentHinge, segment_hinge
from rlhf_losses.losses.stepwise.segment_rating import SegmentRating, segment_rating
from rlhf_losses.losses.stepwise.step_cross_entropy import StepCrossEntropy, step_cross_entropy

__all__ = [
    "AccumulatedPairs",
    "Aggregated",
    "AnyLoss",
    "BatchLoss",
    "BatchSumToZero",
    "BestOfN",
    "BradleyTerry",
    "CenteredBradleyTerry",
    "Centering",
    "CrossEntropy",
    "Davidson",
    "Eurus",
    "FocalBradleyTerry",
    "GradedLoss",
    "Hinge",
    "Huber",
    "IndependentClassification",
    "LabelLoss",
    "LambdaNdcg",
    "LengthDecorrelation",
    "ListNet",
    "ListwiseLoss",
    "LogBarrier",
    "Loss",
    "LossExpression",
    "LossProperty",
    "MultiAttribute",
    "NamedObjective",
    "Objective",
    "OrdinalPreference",
    "OrdinalRating",
    "PairwiseLoss",
    "PlackettLuce",
    "PointwiseHinge",
    "Pqm",
    "RaoKupper",
    "RatingLoss",
    "Regularizer",
    "RobustBradleyTerry",
    "ScoreDecay",
    "SegmentHinge",
    "SegmentRating",
    "SquaredDifference",
    "SquaredError",
    "StepCrossEntropy",
    "StepwiseLoss",
    "Term",
    "Thurstone",
    "TieLoss",
    "WeightedSum",
    "accumulated_pairs",
    "aggregated",
    "batch_sum_to_zero",
    "best_of_n",
    "bradley_terry",
    "centered_bradley_terry",
    "centering",
    "cross_entropy",
    "davidson",
    "eurus",
    "focal_bradley_terry",
    "hinge",
    "huber",
    "independent_classification",
    "lambda_ndcg",
    "length_decorrelation",
    "list_net",
    "log_barrier",
    "multi_attribute",
    "ordinal_preference",
    "ordinal_rating",
    "parse",
    "plackett_luce",
    "pointwise_hinge",
    "pqm",
    "rao_kupper",
    "robust_bradley_terry",
    "score_decay",
    "segment_hinge",
    "segment_rating",
    "squared_difference",
    "squared_error",
    "step_cross_entropy",
    "thurstone",
]
