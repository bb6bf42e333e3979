"""PPO on top of TRL's `GRPOTrainer`."""

from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.scoring.ensemble import Ensemble
from rlhf_losses.ppo.reward_functions import StepMeanRewards, StepRewards, TokenLevelReward, TokenRewardFunction
from rlhf_losses.ppo.shared_base import held_bytes, scorer_on_base
from rlhf_losses.ppo.trainer import PPOTrainer

__all__ = [
    "Ensemble",
    "PPOConfig",
    "PPOTrainer",
    "TokenLevelReward",
    "StepRewards",
    "StepMeanRewards",
    "TokenRewardFunction",
    "held_bytes",
    "scorer_on_base",
]
