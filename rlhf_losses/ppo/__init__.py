"""PPO on top of TRL's `GRPOTrainer`."""

from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.ensemble import Ensemble
from rlhf_losses.ppo.one_base import held_bytes, scorer_on
from rlhf_losses.ppo.placement import PlacedReward, StepRewards, StepShares, TokenRewards
from rlhf_losses.ppo.trainer import PPOTrainer

__all__ = [
    "Ensemble",
    "PPOConfig",
    "PPOTrainer",
    "PlacedReward",
    "StepRewards",
    "StepShares",
    "TokenRewards",
    "held_bytes",
    "scorer_on",
]
