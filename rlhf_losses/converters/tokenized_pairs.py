"""Pairs that were tokenized for an earlier version of TRL."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.pairs import Pairs

SIDES = ("chosen", "rejected")


class TokenizedPairs(DatasetConverter):
    """Pairs of token ids under the names that TRL gave them once; the padding that a mask tells of is removed."""

    columns = (("chosen_input_ids", "rejected_input_ids"), ("input_ids_chosen", "input_ids_rejected"))
    source = "https://huggingface.co/docs/trl/v0.11.0/reward_trainer"

    def read(self, row: Row) -> list[Row]:
        kept = {name: row[name] for name in Pairs.optional_columns if name in row}
        return [{f"{side}_ids": _ids(row, side) for side in SIDES} | kept]


def _ids(row: Row, side: str) -> list[int]:
    name = "{}_{}" if f"{side}_input_ids" in row else "{1}_{0}"
    ids, mask = row[name.format(side, "input_ids")], row.get(name.format(side, "attention_mask"))
    return list(ids) if mask is None else [token for token, real in zip(ids, mask, strict=True) if real]
