"""From rows of a dataset to batches: conversion, checks, rendering, tokenization and collation."""

from rlhf_losses.data.collator import Batch, Collator, ForwardPass
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.data.dataset import check_dataset, prepare, required_feedback_types
from rlhf_losses.data.row_lengths import LengthLimit
from rlhf_losses.data.rows import EncodedRow, RowEncoder, join_feedback

__all__ = [
    "Batch",
    "Collator",
    "EncodedRow",
    "ForwardPass",
    "LengthLimit",
    "RowEncoder",
    "check_dataset",
    "convert_dataset",
    "join_feedback",
    "prepare",
    "required_feedback_types",
]
