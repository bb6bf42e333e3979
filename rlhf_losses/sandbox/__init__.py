"""A synthetic task for the RLHF loop: tiny models, generated stories, a gold reward and simulated annotators."""

from rlhf_losses.sandbox.annotators import Annotator, Preferences, Sample
from rlhf_losses.sandbox.feedback_for_loss import feedback_for
from rlhf_losses.sandbox.simulated_feedback import annotate
from rlhf_losses.sandbox.synthetic_task import SyntheticTask, build_synthetic_task

__all__ = [
    "Annotator",
    "Preferences",
    "Sample",
    "SyntheticTask",
    "annotate",
    "build_synthetic_task",
    "feedback_for",
]
