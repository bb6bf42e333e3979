"""PPO and best-of-n on the synthetic task: quality, over-optimization, run time and memory."""
