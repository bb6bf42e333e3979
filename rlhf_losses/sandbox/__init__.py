"""A world to try the loop in: tiny models, readable stories, a known gold reward and simulated annotators."""

from rlhf_losses.sandbox.annotators import Annotator, Sample, annotate
from rlhf_losses.sandbox.simulated_feedback import feedback_for
from rlhf_losses.sandbox.world import World, build_world

__all__ = [
    "Annotator",
    "Sample",
    "World",
    "annotate",
    "build_world",
    "feedback_for",
]
