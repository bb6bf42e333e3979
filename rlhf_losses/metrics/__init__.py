"""Metrics of reward models: pure functions of scores and feedback, exact over batches."""

from rlhf_losses.metrics.agreement import AnswerVerdicts, agreement, answer_verdicts, labelled_scores
from rlhf_losses.metrics.classification import classification_metrics
from rlhf_losses.metrics.summary import summarize
from rlhf_losses.metrics.tally import Tally, add_tallies

__all__ = [
    "AnswerVerdicts",
    "Tally",
    "add_tallies",
    "agreement",
    "answer_verdicts",
    "classification_metrics",
    "labelled_scores",
    "summarize",
]
