"""Rows that come again at the end of an epoch, so that all processes have as many: they count for nothing.

Samplers of several processes fill the last batches up with rows from the beginning. Those rows have been learned from,
or measured, already.
"""

from typing import Any

from accelerate import Accelerator
from accelerate.utils import send_to_device

from rlhf_losses.data import Batch, Collator


def without_repeats(batch: Batch, collate: Collator, accelerator: Accelerator) -> Batch:
    """Return a batch without the rows that came before; of a batch of such rows a pass that asks for nothing is left.

    Args:
        batch: the newest one of this process.
        collate: makes a batch of rows.
        accelerator: knows whether the batch is the last, and how many rows of it are new.
    """
    rows = batch["source"].rows
    new = _new_rows(accelerator, len(rows))
    if new == len(rows):
        return batch
    return send_to_device(collate(rows[:new] or [_asking_nothing(rows[0])]), accelerator.device)


def _new_rows(accelerator: Accelerator, count: int) -> int:
    state = accelerator.gradient_state
    if accelerator.num_processes == 1 or not accelerator.even_batches or not state.end_of_dataloader:
        return count
    if state.remainder <= 0:  # nothing is left over, or the data are a stream, whose length nobody knows
        return count
    return min(max(state.remainder - accelerator.process_index * count, 0), count)


def _asking_nothing(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of one token whose score is not read: processes need a forward pass each."""
    nothing: dict[str, Any] = {
        name: [] for name in ("score_text", "score_position", "score_of", "score_length", "kinds")
    }
    return {**row, **nothing, "text_ids": [row["text_ids"][0][:1]]}
