"""Model cards of reward models and of policies."""
