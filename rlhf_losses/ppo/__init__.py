"""PPO on top of TRL's `GRPOTrainer`."""

from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.reward_functions import StepMeanRewards, StepRewards, TokenLevelReward, TokenRewardFunction
from rlhf_losses.ppo.shared_base import scorer_on_base, weight_bytes
from rlhf_losses.ppo.trainer import PPOTrainer

__all__ = [
    "PPOConfig",
    "PPOTrainer",
    "StepMeanRewards",
    "StepRewards",
    "TokenLevelReward",
    "TokenRewardFunction",
    "scorer_on_base",
    "weight_bytes",
]
