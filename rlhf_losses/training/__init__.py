"""Reward models: TRL's trainer and configuration, with any loss."""

from rlhf_losses.training.config import RewardConfig
from rlhf_losses.training.trainer import RewardTrainer

__all__ = ["RewardConfig", "RewardTrainer"]
