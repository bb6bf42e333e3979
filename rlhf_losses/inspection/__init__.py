"""Statistics of a dataset before training: feedback, annotator agreement, lengths and compatible losses."""

from rlhf_losses.inspection.dataset_report import DatasetReport
from rlhf_losses.inspection.dataset_statistics import inspect_dataset

__all__ = ["DatasetReport", "inspect_dataset"]
