"""PPO on top of TRL's `GRPOTrainer`."""

from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.trainer import PPOTrainer

__all__ = ["PPOConfig", "PPOTrainer"]
