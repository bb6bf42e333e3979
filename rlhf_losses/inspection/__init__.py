"""What a dataset holds, counted before anything is trained on it."""

from rlhf_losses.inspection.findings import inspect

__all__ = ["inspect"]
