"""Reward models for TRL with any loss, and the PPO loop that uses their scores.

Everything here is imported when it is first used, so that a loss can be had without transformers and
`rlhf-losses --help` without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlhf_losses.errors import (
        FeedbackMismatch,
        InvalidFeedback,
        PluginError,
        RlhfLossesError,
        RunExists,
        UnknownName,
        UnreadableLoss,
        UnusableModel,
        UnusableSetting,
    )
    from rlhf_losses.feedback import (
        Feedback,
        Labels,
        Mixed,
        Pairs,
        Rankings,
        Ratings,
        Steps,
        Votes,
    )
    from rlhf_losses.hooks import (
        catalogue,
        hookimpl,
        parse_loss,
    )
    from rlhf_losses.losses import (
        AccumulatedPairs,
        BradleyTerry,
        CenteredBradleyTerry,
        Centering,
        Claims,
        CrossEntropy,
        Hinge,
        LabelLoss,
        ListwiseLoss,
        Loss,
        NamedSum,
        PairwiseLoss,
        PlackettLuce,
        PointwiseHinge,
        RatingLoss,
        Regularizer,
        ScoreDecay,
        SegmentHinge,
        SegmentRating,
        SquaredError,
        StepwiseLoss,
        accumulated_pairs,
        bradley_terry,
        centered_bradley_terry,
        centering,
        cross_entropy,
        hinge,
        plackett_luce,
        pointwise_hinge,
        score_decay,
        segment_hinge,
        segment_rating,
        squared_error,
    )
    from rlhf_losses.ppo import (
        PPOConfig,
        PPOTrainer,
    )
    from rlhf_losses.scoring import (
        Scorer,
    )
    from rlhf_losses.training import (
        RewardConfig,
        RewardTrainer,
    )

_HOMES = {
    "rlhf_losses.errors": (
        "FeedbackMismatch",
        "InvalidFeedback",
        "PluginError",
        "RlhfLossesError",
        "RunExists",
        "UnknownName",
        "UnreadableLoss",
        "UnusableModel",
        "UnusableSetting",
    ),
    "rlhf_losses.feedback": (
        "Feedback",
        "Labels",
        "Mixed",
        "Pairs",
        "Rankings",
        "Ratings",
        "Steps",
        "Votes",
    ),
    "rlhf_losses.hooks": (
        "catalogue",
        "hookimpl",
        "parse_loss",
    ),
    "rlhf_losses.losses": (
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
        "accumulated_pairs",
        "bradley_terry",
        "centered_bradley_terry",
        "centering",
        "cross_entropy",
        "hinge",
        "plackett_luce",
        "pointwise_hinge",
        "score_decay",
        "segment_hinge",
        "segment_rating",
        "squared_error",
    ),
    "rlhf_losses.ppo": (
        "PPOConfig",
        "PPOTrainer",
    ),
    "rlhf_losses.scoring": ("Scorer",),
    "rlhf_losses.training": (
        "RewardConfig",
        "RewardTrainer",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccumulatedPairs",
    "BradleyTerry",
    "CenteredBradleyTerry",
    "Centering",
    "Claims",
    "CrossEntropy",
    "Feedback",
    "FeedbackMismatch",
    "Hinge",
    "InvalidFeedback",
    "LabelLoss",
    "Labels",
    "ListwiseLoss",
    "Loss",
    "Mixed",
    "NamedSum",
    "PPOConfig",
    "PPOTrainer",
    "Pairs",
    "PairwiseLoss",
    "PlackettLuce",
    "PluginError",
    "PointwiseHinge",
    "Rankings",
    "RatingLoss",
    "Ratings",
    "Regularizer",
    "RewardConfig",
    "RewardTrainer",
    "RlhfLossesError",
    "RunExists",
    "ScoreDecay",
    "Scorer",
    "SegmentHinge",
    "SegmentRating",
    "SquaredError",
    "Steps",
    "StepwiseLoss",
    "UnknownName",
    "UnreadableLoss",
    "UnusableModel",
    "UnusableSetting",
    "Votes",
    "accumulated_pairs",
    "bradley_terry",
    "catalogue",
    "centered_bradley_terry",
    "centering",
    "cross_entropy",
    "hinge",
    "hookimpl",
    "parse_loss",
    "plackett_luce",
    "pointwise_hinge",
    "score_decay",
    "segment_hinge",
    "segment_rating",
    "squared_error",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rlhf_losses' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
