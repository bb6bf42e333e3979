"""Scored datasets without a model: each row has the scores of its answers, and one token per character."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from rlhf_losses.data.rows import rows_feedback
from rlhf_losses.evaluation.scored_data import ScoredData
from rlhf_losses.feedback import feedback_types_in_columns
from rlhf_losses.inspection.annotations import collect_annotations


def scored_data(rows: Sequence[dict[str, Any]], scores: Sequence[float], by: Sequence[str] = ()) -> ScoredData:
    """Return rows with the scores of their answers or steps, in the order of the rows."""
    types = feedback_types_in_columns(rows[0])
    feedback, texts = rows_feedback(rows, types), collect_annotations(rows, types)
    lengths = texts.answer_length.astype(int)
    prompts = np.nan_to_num(texts.prompt_length).astype(int)
    used = torch.zeros(len(scores), dtype=torch.bool).index_fill(0, feedback.positions(), True)
    columns = {name: [row.get(name) for row in rows] for name in by}
    return ScoredData(
        rows, np.arange(len(rows)), columns, by, texts, feedback, torch.tensor(scores), used, prompts, lengths, lengths
    )


def pair(prompt: str, chosen: str, rejected: str, **columns: Any) -> dict[str, Any]:
    """Return a row with a pair."""
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **columns}
